import CLinux
import FerrySystem
import Glibc

/// Removes trees: any depth, no link followed, no error for what is gone already.
public enum TreeRemoval {
  /// Removes a folder with all that is in it, or just a file. On disk when it returns.
  public static func remove(_ path: String) throws { try remove(path, selection: nil, keepingRoot: false) }

  /// Removes an entry of an open folder with all that is in it. Nothing is flushed.
  static func remove(_ name: [UInt8], in parent: TreeFolder, _ entry: TreeEntry) throws {
    if entry.kind == .folder {
      if geteuid() != 0 { _ = withCString(name) { fchmodat(parent.descriptor.number, $0, 0o700, 0) } }
      do { try TreeWalk.run(try parent.folder(name), Remover(selection: nil)) } catch let error as FerryError where error.class == .notFound
      {}
    }
    let failed = withCString(name) { unlinkat(parent.descriptor.number, $0, entry.kind == .folder ? AT_REMOVEDIR : 0) }
    guard failed == 0 || errno == ENOENT else { throw parent.failure(errno, "cannot remove", name) }
  }

  /// Removes only the selected entries; a folder goes only if nothing is left in it. On disk when it returns.
  public static func remove(_ path: String, selection: TreeSelection?, keepingRoot: Bool) throws {
    guard Files.exists(path) else { return }
    var status = stat()
    if lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR {
      guard unlink(path) == 0 || errno == ENOENT else { throw FerryError(errno: errno, "cannot remove \(path)") }
      return try Files.syncFolder(of: path)
    }
    let root = try TreeFolder(root: path)
    do { try TreeWalk.run(root, Remover(selection: selection)) } catch { throw FerryError.wrap(error).inside(path) }
    _ = clinux_syncfs(root.descriptor.number)
    guard !keepingRoot else { return }
    guard rmdir(path) == 0 || errno == ENOENT || (selection != nil && errno == ENOTEMPTY) else {
      throw FerryError(errno: errno, "cannot remove \(path)")
    }
    try Files.syncFolder(of: path)
  }
}

private final class Remover: TreeVisitor {
  private let selection: TreeSelection?
  private var device: UInt64?
  init(selection: TreeSelection?) { self.selection = selection }

  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
    // What is mounted in a tree is somebody else's, and not part of it.
    if entry.identity.device != device ?? entry.identity.device {
      throw FerryError(.conflict, "something is mounted at \(folder.shown([])): it is not removed", hint: "unmount it and try again")
    }
    device = entry.identity.device
    if let selection { entries.removeAll { !selection.contains(TreePath.joined(folder.path, $0.name), $0.kind) } }
  }

  func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) throws {
    if entry.kind != .folder { return try unlink(folder, entry, 0) }
    // Only root may enter and empty a folder that its owner has closed.
    if entry.mode & 0o700 != 0o700, geteuid() != 0 {
      _ = withCString(entry.name) { fchmodat(folder.descriptor.number, $0, 0o700, 0) }
    }
  }

  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) throws {
    if let parent { try unlink(parent, entry, AT_REMOVEDIR) }
  }

  func failed(_ error: FerryError, path: [UInt8]) throws { if error.class != .notFound { throw error } }

  private func unlink(_ folder: TreeFolder, _ entry: TreeEntry, _ flags: Int32) throws {
    guard withCString(entry.name, { unlinkat(folder.descriptor.number, $0, flags) }) != 0, errno != ENOENT else { return }
    if flags != 0, selection != nil, errno == ENOTEMPTY { return }
    throw folder.failure(errno, "cannot remove", entry.name)
  }
}
