import CLinux
import FerrySystem
import Glibc

/// Learns of changes through one watch per folder.
///
/// A new folder is watched a moment after it was made. What happens in it before is not lost: it is a subtree to scan, and the folders in
/// it are looked for once its own watch stands.
final class InotifyWatcher: ChangeWatcher {
  let queue: Descriptor
  private let root: TreeFolder
  private let location: TreeLocation
  private let device: UInt64
  private var folders = WatchedFolders()
  private var changes: ChangeSet<Int32>
  /// Folders that this user may not watch: scanned each time.
  private var closed: Set<[UInt8]> = []
  private var mounts: Set<[UInt8]> = []
  /// Names of folders that were not where the tree of watches had them: one above has moved, and the event that says so is to come.
  private var pending: [Int32: Set<[UInt8]>] = [:]
  private var hasLost = false

  init(_ root: TreeFolder, memory: Int) throws {
    self.root = root
    location = try TreeLocation(root)
    guard let entry = try root.entry([]) else { throw FerryError(.notFound, "the folder is gone") }
    device = entry.identity.device
    changes = ChangeSet(limit: memory)
    let number = clinux_inotify()
    guard number >= 0 else { throw FerryError(errno: -number, "cannot watch files") }
    queue = Descriptor(number)
    mounts = try location.mounts()
    try watchAll()
  }

  /// Watches everything, whatever was watched before.
  private func watchAll() throws {
    let before = folders.watches
    (folders, closed, pending) = (WatchedFolders(), [], [:])
    guard let watch = try add(root) else { throw FerryError(.precondition, "the folder cannot be watched") }
    folders.root = watch
    try watchBelow(root, watch)
    // The kernel gives a folder the watch that it has.
    for watch in before.subtracting(folders.watches) { _ = clinux_inotify_unwatch(queue.number, watch) }
  }

  /// A watch for an open folder; nil if this user may not have one, or if the folder is gone.
  private func add(_ folder: TreeFolder) throws -> Int32? {
    let watch = withCString(folder.shortPath([])) { clinux_inotify_watch(queue.number, $0) }
    if watch >= 0 { return watch }
    if [EACCES, EPERM].contains(-watch) { closed.insert(folder.path) }
    if [EACCES, EPERM, ENOENT, ENOTDIR].contains(-watch) { return nil }
    throw FerryError(
      errno: -watch, "cannot watch \(folder.shown([]))",
      hint: watch == -ENOSPC ? "fs.inotify.max_user_watches says how many folders a user may watch" : "")
  }

  /// Watches the folders in a folder, and those in them.
  private func watchBelow(_ top: TreeFolder, _ watch: Int32) throws {
    var waiting = try top.folderNames().map { (holder: top, name: $0, watch: watch) }
    while let (holder, name, parent) = waiting.popLast() {
      // What is no folder any more says so in an event that is still to come.
      guard let folder = try open(holder, name), let (watch, isNew) = try place(folder, name, parent), isNew else { continue }
      waiting += try folder.folderNames().map { (holder: folder, name: $0, watch: watch) }
    }
  }

  private func open(_ holder: TreeFolder, _ name: [UInt8]) throws -> TreeFolder? {
    let path = TreePath.joined(holder.path, name)
    guard !mounts.contains(path) else { return nil }
    let number = holder.descend(name)
    switch -number {
    case ENOENT, ENOTDIR, ELOOP: return nil
    case EACCES, EPERM:
      closed.insert(path)
      return nil
    case 1...: throw FerryError(errno: -number, "cannot open \(TreePath.escaped(path))")
    default:
      let folder = TreeFolder(path: path, descriptor: Descriptor(number))
      return try folder.entry([])?.identity.device == device ? folder : nil
    }
  }

  /// Watches a folder and notes its place. It is not new if it was watched before, as all that is below it then is.
  private func place(_ folder: TreeFolder, _ name: [UInt8], _ parent: Int32) throws -> (watch: Int32, isNew: Bool)? {
    guard let watch = try add(folder), watch != folders.root else { return nil }
    return (watch, folders.attach(watch, name, parent))
  }

  func consume(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let length = try readQueue(buffer)
    var (offset, count) = (UInt64(0), 0)
    var change = clinux_change()
    while true {
      let taken = clinux_inotify_next(buffer.baseAddress, UInt64(length), &offset, &change)
      guard taken >= 0 else { throw FerryError(errno: -taken, "an event that is not understood") }
      guard taken > 0 else { return count }
      count += 1
      if !hasLost { try apply(change) }
    }
  }

  private func apply(_ change: clinux_change) throws {
    let what = Int(change.what)
    func has(_ bit: Int) -> Bool { what & bit != 0 }
    if has(CLINUX_CHANGE_LOST) {
      hasLost = true
      return changes.lose()
    }
    let watch = change.watch
    guard folders.contains(watch) else { return }
    if has(CLINUX_CHANGE_UNWATCHED) {
      guard watch != folders.root else { throw FerryError(.notFound, "the folder is gone") }
      return folders.remove(watch)
    }
    let name =
      change.name_length == 0 ? [] : change.name.map { Array(UnsafeBufferPointer(start: $0, count: Int(change.name_length))) } ?? []
    guard !name.isEmpty else { return changes.touch(watch) }
    changes.add(name, in: watch)
    guard has(CLINUX_CHANGE_APPEARED) || has(CLINUX_CHANGE_VANISHED) else { return }
    changes.touch(watch)
    guard has(CLINUX_CHANGE_FOLDER) else { return }
    if has(CLINUX_CHANGE_APPEARED) { changes.addSubtree(name, in: watch) }
    // The queue is behind: what has the name now may be what this event is of, another, or nothing. Whatever it is, it is noted, and what
    // comes after it in the queue is noted then.
    folders.detach(name, of: watch)
    if try !look(at: name, of: watch) { pending[watch, default: []].insert(name) }
  }

  /// Notes the folder that has a name by now; says whether there is one.
  private func look(at name: [UInt8], of watch: Int32) throws -> Bool {
    guard let path = folders.path(watch), let folder = try open(root, TreePath.joined(path, name)) else { return false }
    if let (new, isNew) = try place(folder, name, watch), isNew { try watchBelow(folder, new) }
    return true
  }

  /// With the queue empty the tree of watches is as the tree is, so what is not there now is gone.
  private func lookAgain() throws {
    var polled = pollfd(fd: queue.number, events: Int16(POLLIN), revents: 0)
    for (watch, names) in pending {
      for name in names where try look(at: name, of: watch) { pending[watch]?.remove(name) }
      if pending[watch]?.isEmpty ?? true { pending[watch] = nil }
    }
    if poll(&polled, 1, 0) == 0 { pending = [:] }
  }

  func take() throws -> () throws -> TreeChanges {
    let found = try location.mounts()
    if hasLost || found != mounts {
      // Watches first, so that nothing happens between them and the scan that is due now.
      (hasLost, mounts) = (false, found)
      try watchAll()
      _ = changes.take()
      return { TreeChanges(isComplete: false) }
    }
    try lookAgain()
    for watch in folders.takeDetached() { _ = clinux_inotify_unwatch(queue.number, watch) }
    var taken = changes.take().paths(folders.path)
    taken.subtrees.formUnion(found)
    taken.subtrees.formUnion(closed)
    return { taken }
  }
}

/// Watches by their place in the tree: a folder that is renamed takes all below it along, and nothing is done for these.
private struct WatchedFolders {
  private struct Place {
    var name: [UInt8]
    /// -1 for what was moved away.
    var parent: Int32
    var children: [[UInt8]: Int32] = [:]
  }

  private var places: [Int32: Place] = [:]
  private var detached: Set<Int32> = []
  var root: Int32 = -1 { didSet { places[root] = Place(name: [], parent: -1) } }

  var watches: Set<Int32> { Set(places.keys) }

  func contains(_ watch: Int32) -> Bool { places[watch] != nil }

  /// Puts a watch in its place, from wherever it was; says whether it is a new one.
  mutating func attach(_ watch: Int32, _ name: [UInt8], _ parent: Int32) -> Bool {
    let isNew = places[watch] == nil
    if let other = places[parent]?.children[name], other != watch { detach(name, of: parent) }
    if let old = places[watch] {
      if old.parent == parent, old.name == name { return false }
      if places[old.parent]?.children[old.name] == watch { places[old.parent]?.children[old.name] = nil }
    }
    places[watch, default: Place(name: name, parent: parent)].name = name
    places[watch]?.parent = parent
    places[parent]?.children[name] = watch
    detached.remove(watch)
    return isNew
  }

  mutating func detach(_ name: [UInt8], of parent: Int32) {
    guard let watch = places[parent]?.children.removeValue(forKey: name) else { return }
    places[watch]?.parent = -1
    detached.insert(watch)
  }

  mutating func remove(_ watch: Int32) {
    detached.remove(watch)
    guard let old = places.removeValue(forKey: watch) else { return }
    if places[old.parent]?.children[old.name] == watch { places[old.parent]?.children[old.name] = nil }
  }

  /// What was moved out of the tree, with all below it: forgotten here, and to be forgotten by the kernel.
  mutating func takeDetached() -> [Int32] {
    var (waiting, taken) = (Array(detached), [Int32]())
    detached = []
    while let watch = waiting.popLast() {
      guard let place = places.removeValue(forKey: watch) else { continue }
      taken.append(watch)
      waiting += place.children.values
    }
    return taken
  }

  /// nil for what is not in the tree.
  func path(_ watch: Int32) -> [UInt8]? {
    var (names, watch) = ([[UInt8]](), watch)
    while watch != root {
      guard let place = places[watch] else { return nil }
      names.append(place.name)
      watch = place.parent
    }
    return Array(names.reversed().joined(separator: [0x2f]))
  }
}
