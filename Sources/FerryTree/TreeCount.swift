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
    let census = Census(try TreeRoot(root, oneFileSystem: false), selection, cancellation)
    let lanes = try Threads.map([0, 1]) { _ in try CensusLane(census).run() }
    self = lanes.reduce(into: TreeCount()) { $0.add($1) }
    unreadable.sort()
  }

  fileprivate init() {}

  private mutating func add(_ other: TreeCount) {
    entries += other.entries
    bytes += other.bytes
    longestPath = max(longestPath, other.longestPath)
    kinds.merge(other.kinds, uniquingKeysWith: +)
    unreadable += other.unreadable.prefix(100 - min(100, unreadable.count))
  }
}

/// What the threads of a count share.
private final class Census: Sendable {
  let root: TreeRoot
  let selection: TreeSelection?
  let cancellation: Cancellation?
  let stack = SendStack()
  private let seen = Lock<Set<FileIdentity>>([])

  init(_ root: TreeRoot, _ selection: TreeSelection?, _ cancellation: Cancellation?) {
    (self.root, self.selection, self.cancellation) = (root, selection, cancellation)
    stack.push(.folder([]))
  }

  func isNew(_ file: FileIdentity) -> Bool { seen.withLock { $0.insert(file).inserted } }
}

/// One of its threads.
private final class CensusLane {
  private let census: Census
  private let isRoot = geteuid() == 0
  private let names = ByteArena()
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
  private var count = TreeCount()
  /// By kind: a dictionary for each entry would be most of the work.
  private var kinds = [Int64](repeating: 0, count: 8)

  init(_ census: Census) { self.census = census }
  deinit { buffer.deallocate() }

  func run() throws -> TreeCount {
    // Whatever ends this thread ends the other one.
    defer { census.stack.end() }
    var isBusy = false
    while let work = census.stack.next(afterOne: isBusy) {
      isBusy = true
      guard case .folder(let path) = work else { continue }
      if census.cancellation?.isCancelled == true { throw FerryError(.cancelled, "counting was cancelled") }
      let folder = path.withUnsafeBytes { census.root.open($0) }
      guard folder >= 0 else {
        note(-folder, path)
        continue
      }
      defer { close(folder) }
      let failed = names.list(folder, buffer)
      if failed != 0 { note(-failed, path) }
      names.forEach { look(at: $0, in: folder, path) }
    }
    for kind in EntryKind.allCases where kinds[Int(kind.rawValue)] > 0 { count.kinds[kind] = kinds[Int(kind.rawValue)] }
    return count
  }

  private func look(at name: UnsafeRawBufferPointer, in folder: Int32, _ path: [UInt8]) {
    // Names of an arena have an address and end in NUL.
    let text = name.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self)
    func whole() -> [UInt8] { TreePath.joined(path, Array(name)) }
    guard let status = TreeStatus(folder: folder, text) else { return note(errno, whole()) }
    if let selection = census.selection, !selection.contains(whole(), status.kind) { return }
    count.entries += 1
    kinds[Int(status.kind.rawValue)] += 1
    count.longestPath = max(count.longestPath, path.count + 1 + name.count)
    switch status.kind {
    case .folder: census.stack.push(.folder(whole()))
    case .file:
      if !isRoot, faccessat(folder, text, R_OK, AT_EACCESS) != 0 { note(errno, whole()) }
      if !status.isShared || census.isNew(status.identity) { count.bytes += status.size }
    default: break
    }
  }

  /// What is gone by now is none of it.
  private func note(_ code: Int32, _ path: [UInt8]) {
    guard code != ENOENT, count.unreadable.count < 100 else { return }
    count.unreadable.append(TreePath.escaped(path))
  }
}
