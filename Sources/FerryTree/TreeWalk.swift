import CLinux
import FerrySystem
import Glibc

/// What a walk tells. All calls come on the walk's thread.
public protocol TreeVisitor: AnyObject {
  /// A folder was opened; its entries are sorted by name. What is taken out of them is neither visited nor entered.
  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws
  /// One entry, by its index in what `opened` left. Over the whole walk these calls come sorted by the bytes of the path.
  func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) throws
  /// A folder and all below it was visited. `parent` and its `index` there are nil for the root.
  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) throws
  /// Something that was listed cannot be read, or is no more. Throw to end the walk.
  func failed(_ error: FerryError, path: [UInt8]) throws
}

/// Visits a tree without following links, at any depth, with few open descriptors.
public struct TreeWalk {
  private struct Step {
    let index: Int
    let enters: Bool
  }
  private struct Frame {
    var folder: TreeFolder?
    let path: [UInt8]
    let entry: TreeEntry
    let index: Int?
    let entries: [TreeEntry]
    let steps: [Step]
    var next = 0
  }

  /// Folders above the current one that stay open; those further up are opened again through `..` on the way back.
  private static let openLevels = 64

  private let visitor: any TreeVisitor
  private var frames: [Frame] = []

  /// Walks the folder.
  public static func run(_ root: TreeFolder, _ visitor: any TreeVisitor) throws {
    guard let entry = try root.entry([]) else { throw FerryError(.notFound, "the folder is gone") }
    var walk = TreeWalk(visitor: visitor)
    try walk.enter(root, entry, nil)
    while !walk.frames.isEmpty { try walk.advance() }
  }

  private init(visitor: any TreeVisitor) { self.visitor = visitor }

  private mutating func enter(_ folder: TreeFolder, _ entry: TreeEntry, _ index: Int?) throws {
    var entries: [TreeEntry] = []
    let names = try folder.names()
    entries.reserveCapacity(names.count)
    for name in names {
      do {
        if let found = try folder.entry(name) {
          entries.append(found)
        } else {
          try visitor.failed(folder.failure(ENOENT, "cannot look at", name), path: TreePath.joined(folder.path, name))
        }
      } catch let error as FerryError { try visitor.failed(error, path: TreePath.joined(folder.path, name)) }
    }
    try visitor.opened(folder, entry: entry, entries: &entries)
    frames.append(Frame(folder: folder, path: folder.path, entry: entry, index: index, entries: entries, steps: Self.steps(entries)))
    if frames.count > Self.openLevels { frames[frames.count - 1 - Self.openLevels].folder = nil }
  }

  /// `a`, `a-b`, `a/x` is the order of paths: a folder's inside comes where its name with a slash belongs.
  private static func steps(_ entries: [TreeEntry]) -> [Step] {
    var steps: [Step] = []
    steps.reserveCapacity(entries.count)
    // Folders whose inside is still to come. Names between `a` and `a/` start with `a`, so the last one is always the next one.
    var inside: [(key: [UInt8], index: Int)] = []
    for (index, entry) in entries.enumerated() {
      while let next = inside.last, TreePath.precedes(next.key, entry.name) {
        steps.append(Step(index: next.index, enters: true))
        inside.removeLast()
      }
      steps.append(Step(index: index, enters: false))
      if entry.kind == .folder { inside.append((entry.name + [0x2f], index)) }
    }
    return steps + inside.reversed().map { Step(index: $0.index, enters: true) }
  }

  private mutating func advance() throws {
    let last = frames.count - 1
    let frame = frames[last]
    guard let folder = frame.folder else { throw FerryError(.internal, "a walk lost its folder") }
    guard frame.next < frame.steps.count else {
      frames.removeLast()
      if last > 0, frames[last - 1].folder == nil { frames[last - 1].folder = try reopen(frames[last - 1], from: folder) }
      return try visitor.closed(frames.last?.folder, entry: frame.entry, index: frame.index)
    }
    let step = frame.steps[frame.next]
    frames[last].next += 1
    let entry = frame.entries[step.index]
    guard step.enters else { return try visitor.visit(folder, entry: entry, index: step.index) }
    let child: TreeFolder
    do { child = try folder.folder(entry.name) } catch let error as FerryError {
      return try visitor.failed(error, path: TreePath.joined(folder.path, entry.name))
    }
    do { try enter(child, entry, step.index) } catch let error as FerryError where error.class == .notFound {
      try visitor.failed(error, path: child.path)
    }
  }

  private func reopen(_ frame: Frame, from child: TreeFolder) throws -> TreeFolder {
    let number = clinux_openat(child.descriptor.number, "..", O_RDONLY | O_DIRECTORY, 0)
    guard number >= 0 else { throw child.failure(-number, "cannot return from", []) }
    let folder = TreeFolder(path: frame.path, descriptor: Descriptor(number))
    guard try folder.entry([])?.identity == frame.entry.identity else {
      throw FerryError(.io, "\(child.shown([])) was moved while it was read")
    }
    return folder
  }
}
