import FerrySystem
import Glibc

/// What a tree holds, counted without reading content.
public struct TreeCount: Sendable, Hashable {
  /// Entries below the root.
  public var entries: Int64 = 0
  /// Bytes of files; a file with several names counts once.
  public var bytes: Int64 = 0
  /// The longest path below the root, in bytes.
  public var longestPath = 0
  /// Entries of each kind.
  public var kinds: [EntryKind: Int64] = [:]
  /// Entries that cannot be read.
  public var unreadable: [String] = []

  /// Counts what is there now; what vanishes meanwhile does not count.
  public init(root: String, selection: TreeSelection? = nil, cancellation: Cancellation? = nil) throws {
    let counter = Counter(selection: selection, cancellation: cancellation)
    try TreeWalk.run(try TreeFolder(root: root), counter)
    self = counter.count
  }

  private init() {}

  private final class Counter: TreeVisitor {
    let selection: TreeSelection?
    let cancellation: Cancellation?
    var count = TreeCount()
    var seen: Set<FileIdentity> = []

    init(selection: TreeSelection?, cancellation: Cancellation?) {
      self.selection = selection
      self.cancellation = cancellation
    }

    func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
      if let cancellation, cancellation.isCancelled { throw FerryError(.cancelled, "counting was cancelled") }
      if let selection { entries.removeAll { !selection.contains(TreePath.joined(folder.path, $0.name), $0.kind) } }
      for entry in entries {
        count.entries += 1
        count.kinds[entry.kind, default: 0] += 1
        count.longestPath = max(count.longestPath, folder.path.count + 1 + entry.name.count)
        if entry.kind == .file, geteuid() != 0, !folder.isReadable(entry.name) { note(TreePath.joined(folder.path, entry.name)) }
        if entry.kind == .file, !entry.isShared || seen.insert(entry.identity).inserted { count.bytes += entry.size }
      }
    }
    func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) {}
    func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) {}
    func failed(_ error: FerryError, path: [UInt8]) { if error.class != .notFound { note(path) } }

    private func note(_ path: [UInt8]) { if count.unreadable.count < 100 { count.unreadable.append(TreePath.escaped(path)) } }
  }
}
