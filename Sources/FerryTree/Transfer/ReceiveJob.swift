import CLinux
import FerrySystem
import Glibc

/// One pass at the receiver: what its lanes share.
final class ReceiveJob: @unchecked Sendable {
  /// A folder's own metadata, or a further name of a file: for when all lanes have come to their end.
  struct Late {
    var path: [UInt8]
    var record: TreeRecord
    /// Attributes of a folder; the first name of a file.
    var extra: [UInt8]
    var leaf: TreeLeaf
    /// What a further name's first name must hold.
    var content = TreeLeaf()
    var attributes = TreeLeaf()
  }

  let isFinal: Bool
  let root: TreeRoot
  let options: TreeOptions
  let index: TreeIndex
  let keeper: StateKeeper
  let early: EarlyFlush
  let links: TreeLinks
  let blocks: Lock<[UInt64: ContentBlocks]>
  /// Names that are not complete begin so. No tree can have guessed it.
  let temporary: String

  /// Who this process is, and the bits that it never gives to what it makes.
  let user = geteuid()
  let group = getegid()
  let mask = ReceiveJob.processMask

  let pool = BlockQueue(limit: 6)

  /// Lanes place entries side by side. Who removes does so alone, so that the index does not tell of what is gone.
  let turns = SharedLock()

  private let removed = Lock<[UInt64]>([])
  private let failure = Lock<FerryError?>(nil)
  private let done = Lock((entries: Int64(0), bytes: Int64(0)))

  init(
    isFinal: Bool, root: TreeRoot, options: TreeOptions, index: TreeIndex, keeper: StateKeeper, links: TreeLinks,
    blocks: Lock<[UInt64: ContentBlocks]>
  ) {
    (self.isFinal, self.root, self.options, self.index, self.keeper) = (isFinal, root, options, index, keeper)
    (self.links, self.blocks) = (links, blocks)
    early = EarlyFlush(root.folder)
    temporary = ".ferry-\(String(TreeState.random(), radix: 16))-"
  }

  /// As the kernel tells it: asking by `umask` would change it for a moment, for all threads.
  private static var processMask: UInt32 {
    let lines = (try? Files.read("/proc/self/status"))?.split(separator: 0x0a) ?? []
    let line = lines.first { $0.starts(with: "Umask:".utf8) }
    let digits = line.map { String(decoding: $0.dropFirst(6).filter { (0x30...0x37).contains($0) }, as: UTF8.self) }
    return digits.flatMap { UInt32($0, radix: 8) } ?? 0o777
  }

  func fail(_ error: any Error) { failure.withLock { if $0 == nil { $0 = FerryError.wrap(error) } } }
  func check() throws { if let error = failure.withLock({ $0 }) { throw error } }

  func progress(entries: Int64, bytes: Int64) throws {
    let total = done.withLock { done in
      done.entries += entries
      done.bytes += bytes
      return done
    }
    guard total.entries <= options.limits.entries else {
      throw FerryError(.peer, "the stream has more than \(options.limits.entries) entries")
    }
    options.progress?(total.bytes, total.entries)
    keeper.tick()
  }
  var bytes: Int64 { done.withLock { $0.bytes } }

  /// A path is no more, or is something else from now on.
  func forget(_ path: UnsafeRawBufferPointer) {
    let key = TreeIndex.key(path, index.seed)
    links.leave(key)
    blocks.withLock { if !$0.isEmpty { $0[key] = nil } }
    if index.remove(key) { removed.withLock { $0.append(key) } }
  }

  /// Keys of what was removed and did not come again.
  var gone: [UInt64] { removed.withLock { $0 }.filter { index.find($0) == nil } }

  /// Removes an entry with all that is in it.
  func erase(_ folder: Int32, _ name: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer) throws {
    try turns.alone {
      // Another lane may have made something in a folder since it was emptied.
      for _ in 0..<8 {
        do { return try remove(folder, name, path: path) } catch let error as FerryError where !isFinal && error.code == TreeRoot.raced {}
      }
      try remove(folder, name, path: path)
    }
  }

  /// Removes what is no folder; another lane may have put one in its place by now.
  func clear(_ folder: Int32, _ name: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer) throws {
    try turns.alone {
      try TreeRoot.withText(name) { text in
        if unlinkat(folder, text, 0) == 0 || errno == ENOENT { return forget(path) }
        if errno != EISDIR { throw root.failure(errno, "cannot remove", path) }
      }
    }
  }

  private func remove(_ folder: Int32, _ name: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer) throws {
    try TreeRoot.withText(name) { text in
      if unlinkat(folder, text, 0) == 0 || errno == ENOENT { return forget(path) }
      guard errno == EISDIR || errno == EPERM else { throw root.failure(errno, "cannot remove", path) }
      var opened = clinux_openat(folder, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
      if opened == -EACCES, fchmodat(folder, text, 0o700, 0) == 0 {
        opened = clinux_openat(folder, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
      }
      guard opened >= 0 else { throw root.failure(-opened, "cannot remove", path) }
      let inner = TreeFolder(path: Array(path), descriptor: Descriptor(opened))
      try TreeWalk.run(inner, Eraser(self))
      guard unlinkat(folder, text, AT_REMOVEDIR) == 0 || errno == ENOENT else { throw root.failure(errno, "cannot remove", path) }
      forget(path)
    }
  }
}

/// Removes all below a folder, and what is known of it.
private final class Eraser: TreeVisitor {
  private let job: ReceiveJob
  init(_ job: ReceiveJob) { self.job = job }

  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
    // What is mounted in a tree is somebody else's.
    guard entry.identity.device == job.root.device else {
      throw FerryError(.conflict, "something is mounted at \(folder.shown([])): it is not removed", hint: "unmount it and try again")
    }
  }

  func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) throws {
    if entry.kind != .folder { return try unlink(folder, entry, 0) }
    if entry.mode & 0o700 != 0o700, geteuid() != 0 {
      _ = withCString(entry.name) { fchmodat(folder.descriptor.number, $0, 0o700, 0) }
    }
  }

  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) throws {
    if let parent { try unlink(parent, entry, AT_REMOVEDIR) }
  }

  func failed(_ error: FerryError, path: [UInt8]) throws { if error.class != .notFound { throw error } }

  private func unlink(_ folder: TreeFolder, _ entry: TreeEntry, _ flags: Int32) throws {
    guard withCString(entry.name, { unlinkat(folder.descriptor.number, $0, flags) }) == 0 || errno == ENOENT else {
      throw TreePath.joined(folder.path, entry.name).withUnsafeBytes { job.root.failure(errno, "cannot remove", $0) }
    }
    TreePath.joined(folder.path, entry.name).withUnsafeBytes { job.forget($0) }
  }
}
