import CLinux
import FerrySystem
import Glibc

/// Learns of changes through one mark on the whole file system. Nothing is done per folder, and no new folder can be missed.
///
/// An event names its folder by a handle, which stays the same when the folder or one above it is renamed; handles become paths when
/// somebody asks. Most events of a busy file system are of other trees: their folders are remembered and their events dropped.
final class FanotifyWatcher: ChangeWatcher {
  typealias Handle = [UInt8]

  let queue: Descriptor
  /// One for events as they come, one for who asks: these are two threads.
  private let location: TreeLocation
  private let finder: TreeLocation
  private var changes: ChangeSet<Handle>
  private var inside: Set<Handle> = []
  private var outside: Set<Handle> = []

  private static let mostFolders = 1 << 16

  init(_ root: TreeFolder, memory: Int) throws {
    let number = clinux_fanotify()
    guard number >= 0 else { throw FerryError(errno: -number, "not for this user or kernel") }
    queue = Descriptor(number)
    let failed = clinux_fanotify_watch(number, root.descriptor.number)
    guard failed >= 0 else { throw FerryError(errno: -failed, "not for this file system") }
    location = try TreeLocation(root)
    finder = try TreeLocation(root)
    changes = ChangeSet(limit: memory)
    // Some file systems give handles away and never take them back.
    var handle = [UInt8](repeating: 0, count: Int(CLINUX_HANDLE))
    let length = clinux_handle(root.descriptor.number, "", &handle)
    guard length >= 0 else { throw FerryError(errno: -length, "this file system has no handles") }
    guard try location.path(of: Array(handle.prefix(Int(length)))) == [] else {
      throw FerryError(.unsupported, "this file system does not open what it gave a handle of")
    }
  }

  func consume(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let length = try readQueue(buffer)
    var (offset, count) = (UInt64(0), 0)
    var change = clinux_change()
    while true {
      let taken = clinux_fanotify_next(buffer.baseAddress, UInt64(length), &offset, &change)
      guard taken >= 0 else { throw FerryError(errno: -taken, "an event that is not understood") }
      guard taken > 0 else { return count }
      count += 1
      try apply(change)
    }
  }

  private func apply(_ change: clinux_change) throws {
    let what = Int(change.what)
    func has(_ bit: Int) -> Bool { what & bit != 0 }
    if has(CLINUX_CHANGE_LOST) { return changes.lose() }
    // Whatever is known of where folders are is old now.
    if has(CLINUX_CHANGE_FOLDER), has(CLINUX_CHANGE_MOVED_IN) || has(CLINUX_CHANGE_MOVED_OUT) { outside = [] }
    guard let handle = change.handle else { return }
    let folder = Self.bytes(handle, change.handle_length)
    let name = Self.bytes(change.name, change.name_length)
    let file = has(CLINUX_CHANGE_TOUCHED) && !has(CLINUX_CHANGE_FOLDER) ? Self.bytes(change.file, change.file_length) : []
    guard try isInside(folder) else {
      // A folder that is gone may have been in the tree, and a file of it may still be there under another name.
      if !file.isEmpty, !outside.contains(folder), try location.exists(file, any: true) { changes.add(name, file, in: folder) }
      return
    }
    guard !name.isEmpty else { return changes.touch(folder) }
    if file.isEmpty { changes.add(name, in: folder) } else { changes.add(name, file, in: folder) }
    if has(CLINUX_CHANGE_APPEARED) || has(CLINUX_CHANGE_VANISHED) { changes.touch(folder) }
    // Its name may have been another folder's, whose entries are gone without a path of their own.
    if has(CLINUX_CHANGE_APPEARED), has(CLINUX_CHANGE_FOLDER) { changes.addSubtree(name, in: folder) }
  }

  private static func bytes(_ start: UnsafePointer<UInt8>?, _ count: UInt32) -> [UInt8] {
    start.map { Array(UnsafeBufferPointer(start: $0, count: Int(count))) } ?? []
  }

  private func isInside(_ folder: Handle) throws -> Bool {
    if inside.contains(folder) { return true }
    if outside.contains(folder) { return false }
    let isInside = try location.path(of: folder) != nil
    // One that moves out of the tree is noticed when paths are made.
    if isInside { remember(folder, &inside) } else if try location.exists(folder) { remember(folder, &outside) }
    return isInside
  }

  private func remember(_ folder: Handle, _ known: inout Set<Handle>) {
    if known.count >= Self.mostFolders { known = [] }
    known.insert(folder)
  }

  func take() throws -> () throws -> TreeChanges {
    // Where they are now is known when they are turned into paths; what moves meanwhile is in the next changes.
    (inside, outside) = ([], [])
    let taken = changes.take()
    return { [finder] in
      let mounts = try finder.mounts()
      var found = try taken.paths(finder.path, lost: finder.moved)
      found.subtrees.formUnion(mounts)
      return found
    }
  }
}
