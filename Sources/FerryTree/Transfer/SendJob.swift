import FerrySystem
import Glibc

/// One pass at the sender: what its lanes share.
final class SendJob: @unchecked Sendable {
  /// A name that becomes a link when all content is on its way.
  struct Link {
    var folder: [UInt8]
    var name: [UInt8]
    var key: UInt64
    var stamp: UInt64
    var group: TreeLinks.Group
    /// Nothing else was sent of its folder, whose times the link changes.
    var isAlone = false
  }

  let pass: TreePass
  let root: TreeRoot
  let options: TreeOptions
  let index: TreeIndex
  let keeper: StateKeeper
  let links: TreeLinks
  let match: LinkMatch
  /// Block hashes of large files that the receiver's process has as well.
  let blocks: Lock<[UInt64: ContentBlocks]>
  /// What changed before this moment and was looked at after it would leave another stamp if it changed again.
  let horizon: FileTime?
  /// The same for what nobody can map.
  let moment: FileTime
  /// Every folder says what it holds, since the receiver may hold more.
  let namesAll: Bool
  /// Only what a tracker named is looked at.
  var isTracked: Bool
  let stack = SendStack()

  private let pending = Lock<[Link]>([])
  private let failure = Lock<FerryError?>(nil)
  private let done = Lock((entries: Int64(0), bytes: Int64(0)))
  private let troubles = Lock((vanished: Int64(0), unread: [String]()))

  init(
    _ pass: TreePass, root: TreeRoot, options: TreeOptions, index: TreeIndex, keeper: StateKeeper, links: TreeLinks,
    match: LinkMatch, blocks: Lock<[UInt64: ContentBlocks]>, horizon: FileTime?, moment: FileTime, namesAll: Bool, isTracked: Bool
  ) {
    (self.pass, self.root, self.options, self.index, self.links, self.blocks) = (pass, root, options, index, links, blocks)
    (self.keeper, self.match) = (keeper, match)
    (self.horizon, self.moment, self.namesAll, self.isTracked) = (horizon, moment, namesAll, isTracked)
  }

  /// How an entry looks, or 0 if it may change and go on looking so.
  func stamp(_ status: TreeStatus) -> UInt64 { status.stamp(before: status.kind == .file ? horizon : moment) }

  func later(_ link: Link) { pending.withLock { $0.append(link) } }
  func takeLinks() -> [Link] { pending.withLock { $0 } }

  /// The first error is the pass's; all lanes stop.
  func fail(_ error: any Error) {
    failure.withLock { if $0 == nil { $0 = FerryError.wrap(error) } }
    stack.end()
  }
  func check() throws { if let error = failure.withLock({ $0 }) { throw error } }

  func progress(entries: Int64, bytes: Int64) {
    let total = done.withLock { done in
      done.entries += entries
      done.bytes += bytes
      return done
    }
    options.progress?(total.bytes, total.entries)
    keeper.tick()
  }

  /// Something that was there cannot be read, or is there no more: normal while the tree is in use, never in the final pass.
  func trouble(_ code: Int32, _ what: String, _ path: UnsafeRawBufferPointer) throws {
    let error = root.failure(code, what, path)
    if pass.isFinal { throw FerryError(error.class == .notFound ? .io : error.class, error.message, hint: error.hint) }
    if code == EMFILE || code == ENFILE || code == ENOMEM { throw error }
    troubles.withLock { troubles in
      if code == ENOENT || code == ENOTDIR || code == ELOOP {
        troubles.vanished += 1
      } else if troubles.unread.count < 100 {
        troubles.unread.append(error.message)
      }
    }
  }

  var report: TreeReport {
    var report = TreeReport()
    troubles.withLock { (report.vanished, report.unread) = ($0.vanished, $0.unread) }
    return report
  }
}
