import FerrySystem

/// Files with several names: which paths are one file, at either end.
final class TreeLinks: @unchecked Sendable {
  /// The names of one file.
  final class Group {
    /// The name under which its content is at the receiver.
    fileprivate(set) var original: [UInt8] = []
    fileprivate(set) var members: Set<[UInt8]> = []
    fileprivate var pass = -1
    fileprivate var isSent = false
    fileprivate var size: Int64 = 0
    /// What went over with the content.
    var settled: (meta: TreeMeta, content: TreeLeaf, attributes: TreeLeaf)?
  }

  /// What becomes of a name in this pass.
  enum Role {
    case unchanged
    case content(Group)
    case link(Group)
  }

  private let lock = Lock(())
  private var byPath: [[UInt8]: Group] = [:]
  private var byFile: [FileIdentity: Group] = [:]

  /// Sender: a name was met. The first of a file that changed carries its content; all others then become links to it, even those that
  /// look as they did: at the receiver they are links to what was there before.
  func meet(_ file: FileIdentity, _ path: [UInt8], size: Int64, isKnown: Bool, pass: Int) -> Role {
    lock.withLock { _ in
      let group = byFile[file] ?? Group()
      group.size = size
      byFile[file] = group
      if let before = byPath[path], before !== group { leave(path, before) }
      group.members.insert(path)
      byPath[path] = group
      if group.pass != pass {
        (group.pass, group.original, group.isSent, group.settled) = (pass, path, !isKnown, nil)
        return isKnown ? .unchanged : .content(group)
      }
      return isKnown && !group.isSent ? .unchanged : .link(group)
    }
  }

  /// Receiver: a path became another name of what is at `original`.
  func join(_ path: [UInt8], to original: [UInt8], size: Int64) {
    lock.withLock { _ in
      if let before = byPath[path] { leave(path, before) }
      let group = byPath[original] ?? Group()
      group.size = size
      group.members.formUnion([original, path])
      (byPath[original], byPath[path]) = (group, group)
    }
  }

  /// A path is no longer a name of what it was.
  func leave(_ path: UnsafeRawBufferPointer) {
    lock.withLock { _ in
      guard !byPath.isEmpty else { return }
      let path = Array(path)
      if let group = byPath[path] { leave(path, group) }
    }
  }

  private func leave(_ path: [UInt8], _ group: Group) {
    group.members.remove(path)
    byPath[path] = nil
  }

  /// The other names of what a path was, or of the file that it is now.
  func companions(of path: [UInt8], _ file: FileIdentity?) -> Set<[UInt8]> {
    lock.withLock { _ in (byPath[path]?.members ?? []).union(file.flatMap { byFile[$0]?.members } ?? []) }
  }

  var isEmpty: Bool { lock.withLock { _ in byPath.isEmpty } }

  /// What the groups add to the sum of leaves, one each, over its paths in any order; and bytes that the index counts more than once.
  var total: (sum: TreeLeaf, repeated: Int64) {
    lock.withLock { _ in
      var total = (sum: TreeLeaf(), repeated: Int64(0))
      var seen: Set<ObjectIdentifier> = []
      for group in byPath.values where group.members.count > 1 && seen.insert(ObjectIdentifier(group)).inserted {
        total.sum += Self.leaf(group.members)
        total.repeated += Int64(group.members.count - 1) * group.size
      }
      return total
    }
  }

  static func leaf(_ paths: some Sequence<[UInt8]>) -> TreeLeaf {
    var names = TreeLeaf()
    for path in paths { names += path.withUnsafeBytes { TreeLeaf(of: $0) } }
    return withUnsafeBytes(of: (names.low.littleEndian, names.high.littleEndian)) { TreeLeaf(of: $0) }
  }
}
