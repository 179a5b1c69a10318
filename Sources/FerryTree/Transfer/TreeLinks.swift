import FerrySystem

/// Files with several names: which paths are one file, at either end.
final class TreeLinks: @unchecked Sendable {
  /// The names of one file.
  final class Group {
    /// The name under which its content is at the receiver.
    fileprivate(set) var original: [UInt8] = []
    /// What went over with the content.
    var settled: (meta: TreeMeta, content: TreeLeaf, attributes: TreeLeaf)?
    fileprivate var members: [UInt64: [UInt8]] = [:]
    fileprivate var pass = -1
    fileprivate var isSent = false
    fileprivate var met: Set<UInt64> = []
    fileprivate var size: Int64 = 0
    /// How many names it has, here and elsewhere; and how many of them are elsewhere, as the last walk over everything found.
    fileprivate var names = 0
    fileprivate var outside = 0
  }

  /// What becomes of a name in this pass.
  enum Role {
    case unchanged
    case content(Group)
    case link(Group)
  }

  private let lock = Lock(())
  private var byKey: [UInt64: Group] = [:]
  private var byFile: [FileIdentity: Group] = [:]

  /// Sender: a name was met. The first of a file that changed carries its content; all others then become links to it, even those that
  /// look as they did: at the receiver they are links to what was there before.
  func meet(_ status: TreeStatus, _ key: UInt64, _ path: [UInt8], isKnown: Bool, pass: Int) -> Role {
    lock.withLock { _ in
      let group = byFile[status.identity] ?? Group()
      (group.size, group.names) = (status.size, Int(status.raw.st_nlink))
      byFile[status.identity] = group
      if let before = byKey[key], before !== group { before.members[key] = nil }
      group.members[key] = path
      byKey[key] = group
      if group.pass != pass {
        (group.pass, group.original, group.isSent, group.settled, group.met) = (pass, path, !isKnown, nil, [key])
        return isKnown ? .unchanged : .content(group)
      }
      // A name that was met before in this pass is done.
      guard group.met.insert(key).inserted else { return .unchanged }
      return isKnown && !group.isSent ? .unchanged : .link(group)
    }
  }

  /// Sender: whether a file that was met has names in the tree that nobody has seen: it had one name, and got another.
  func lacksNames(pass: Int) -> Bool {
    lock.withLock { _ in byFile.values.contains { $0.pass == pass && $0.members.count + $0.outside < $0.names } }
  }

  /// Sender: everything was walked, so what was not met is elsewhere.
  func haveAllNames() {
    lock.withLock { _ in for group in byFile.values { group.outside = max(0, group.names - group.members.count) } }
  }

  /// Sender: the names of files with several. A tracker may name one that is gone by now, or lies outside of the tree, and no other.
  func shared() -> [[UInt8]] {
    lock.withLock { _ in byFile.values.filter { max($0.names, $0.members.count) > 1 }.flatMap(\.members.values) }
  }

  /// Sender: names that a tracker had no reason to name, of files whose content went over under another one.
  func unmet(pass: Int) -> [(path: [UInt8], key: UInt64, file: FileIdentity, group: Group)] {
    lock.withLock { _ in
      byFile.filter { $0.value.pass == pass && $0.value.isSent }.flatMap { file, group in
        group.members.filter { !group.met.contains($0.key) }.map { ($0.value, $0.key, file, group) }
      }
    }
  }

  /// Receiver: a path became another name of what is at `original`.
  func join(_ path: [UInt8], _ key: UInt64, to original: [UInt8], _ first: UInt64, size: Int64) {
    lock.withLock { _ in
      let group = byKey[first] ?? Group()
      if let before = byKey[key], before !== group { before.members[key] = nil }
      group.size = size
      (group.members[first], group.members[key]) = (original, path)
      (byKey[first], byKey[key]) = (group, group)
    }
  }

  /// A path is no longer a name of what it was.
  func leave(_ key: UInt64) { lock.withLock { _ in byKey.removeValue(forKey: key)?.members[key] = nil } }

  /// What the groups add to the sum of leaves, one each, over its paths in any order; and bytes that the index counts more than once.
  var total: (sum: TreeLeaf, repeated: Int64) {
    lock.withLock { _ in
      var total = (sum: TreeLeaf(), repeated: Int64(0))
      var seen: Set<ObjectIdentifier> = []
      for group in byKey.values where group.members.count > 1 && seen.insert(ObjectIdentifier(group)).inserted {
        total.sum += Self.leaf(group.members.values)
        total.repeated += Int64(group.members.count - 1) * group.size
      }
      return total
    }
  }

  /// The keys of names that are one file with others, each with a number for the file.
  var files: [UInt64: UInt64] {
    lock.withLock { _ in
      var files: [UInt64: UInt64] = [:]
      for (key, group) in byKey where group.members.count > 1 && files[key] == nil { for name in group.members.keys { files[name] = key } }
      return files
    }
  }

  static func leaf(_ paths: some Sequence<[UInt8]>) -> TreeLeaf {
    var names = TreeLeaf()
    for path in paths { names += path.withUnsafeBytes { TreeLeaf(of: $0) } }
    return withUnsafeBytes(of: (names.low.littleEndian, names.high.littleEndian)) { TreeLeaf(of: $0) }
  }
}

/// Which file at the receiver a file at the sender is. A leaf tells nothing of other names: where a file was split into two that are alike, or
/// two were joined, all leaves may be what they were.
final class LinkMatch: Sendable {
  private struct Pairs {
    var theirs: [FileIdentity: UInt64] = [:]
    var ours: [UInt64: FileIdentity] = [:]
  }

  private let files: [UInt64: UInt64]
  private let pairs = Lock(Pairs())

  /// `files`: the names that are one file with others at the receiver.
  init(_ files: [UInt64: UInt64]) { self.files = files }

  /// Whether what the receiver has under this name may be what this file is. The first name of either decides for all others.
  func fits(_ key: UInt64, _ status: TreeStatus) -> Bool {
    let file = files[key]
    guard file != nil || status.isShared else { return true }
    let (theirs, ours) = (file ?? key, status.identity)
    return pairs.withLock { pairs in
      if pairs.theirs[ours] == nil, pairs.ours[theirs] == nil { (pairs.theirs[ours], pairs.ours[theirs]) = (theirs, ours) }
      return pairs.theirs[ours] == theirs && pairs.ours[theirs] == ours
    }
  }
}
