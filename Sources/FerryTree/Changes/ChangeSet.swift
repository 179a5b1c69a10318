/// What changed since somebody asked, kept by folder: a folder may move until the next one asks, so paths are made only then.
///
/// Its memory is bounded. Beyond the bound the folders with the most names become subtrees to scan; where that does not help, the set is
/// incomplete.
struct ChangeSet<Folder: Hashable> {
  private struct Content {
    /// The folder itself: its metadata or its set of names.
    var isTouched = false
    /// Too much changed in it to say what.
    var isWhole = false
    var names: Set<[UInt8]> = []
    var subtrees: Set<[UInt8]> = []
    /// What had a name when it changed, where that is known.
    var files: [[UInt8]: [UInt8]] = [:]

    var cost: Int {
      let bytes = names.reduce(0) { $0 + $1.count } + subtrees.reduce(0) { $0 + $1.count }
      return ChangeSet.folderCost + bytes + (names.count + subtrees.count) * ChangeSet.nameCost + files.count * ChangeSet.fileCost
    }
  }

  /// What a name and a folder take beside their own bytes, about.
  private static var nameCost: Int { 80 }
  private static var folderCost: Int { 300 }
  private static var fileCost: Int { 120 }

  private let limit: Int
  private var folders: [Folder: Content] = [:]
  private var cost = 0
  private(set) var isComplete = true

  /// A set that takes about so many bytes at most.
  init(limit: Int) { self.limit = limit }

  /// Something about an entry of a folder changed.
  mutating func add(_ name: [UInt8], in folder: Folder) {
    update(folder) { $0.isWhole || !$0.names.insert(name).inserted ? 0 : name.count + Self.nameCost }
  }

  /// The same, of a file that a handle tells from others of that name.
  mutating func add(_ name: [UInt8], _ file: [UInt8], in folder: Folder) {
    add(name, in: folder)
    update(folder) { $0.isWhole || $0.files.updateValue(name, forKey: file) != nil ? 0 : Self.fileCost }
  }

  /// A folder of this name appeared with whatever is in it.
  mutating func addSubtree(_ name: [UInt8], in folder: Folder) {
    update(folder) { $0.isWhole || !$0.subtrees.insert(name).inserted ? 0 : name.count + Self.nameCost }
  }

  /// The folder's own metadata changed: that it got or lost names is among them.
  mutating func touch(_ folder: Folder) {
    update(folder) {
      $0.isTouched = true
      return 0
    }
  }

  /// Events were lost: from here on nothing is worth keeping.
  mutating func lose() {
    isComplete = false
    folders = [:]
    cost = 0
  }

  /// All of it, and an empty set again.
  mutating func take() -> ChangeSet {
    defer { self = ChangeSet(limit: limit) }
    return self
  }

  /// As paths, where a folder is all that is known.
  func paths(_ path: (Folder) throws -> [UInt8]?) rethrows -> TreeChanges { try paths(path) { _, _ in TreeChanges() } }

  /// As paths. A folder without one is gone; whoever removed it changed its parent. `lost` is asked for names of files in each folder that
  /// changed: a file may have other names by now.
  func paths(
    _ path: (Folder) throws -> [UInt8]?, lost: (Folder, [[UInt8]: [UInt8]]) throws -> TreeChanges
  ) rethrows -> TreeChanges {
    var changes = TreeChanges(isComplete: isComplete)
    for (folder, content) in folders {
      if !content.files.isEmpty { changes = changes.union(try lost(folder, content.files)) }
      guard let path = try path(folder) else { continue }
      if content.isWhole { changes.subtrees.insert(path) }
      if content.isTouched { changes.entries.insert(path) }
      for name in content.names { changes.entries.insert(TreePath.joined(path, name)) }
      for name in content.subtrees { changes.subtrees.insert(TreePath.joined(path, name)) }
    }
    return changes
  }

  private mutating func update(_ folder: Folder, _ body: (inout Content) -> Int) {
    guard isComplete else { return }
    let before = folders.count
    cost += body(&folders[folder, default: Content()])
    if folders.count > before { cost += Self.folderCost }
    if cost > limit { collapse() }
  }

  /// Halves the cost, so that the next time is far away.
  private mutating func collapse() {
    for (folder, content) in folders.sorted(by: { $0.value.names.count > $1.value.names.count }) {
      guard cost > limit / 2, content.names.count + content.subtrees.count > 4 else { break }
      cost -= content.cost - Self.folderCost
      folders[folder] = Content(isTouched: true, isWhole: true)
    }
    if cost > limit / 2 { lose() }
  }
}
