import CLinux
import FerrySystem
import Glibc

/// The root of one end's tree. Every folder is reached from here by openat2, which neither leaves it nor follows a link.
final class TreeRoot: @unchecked Sendable {
  let folder: TreeFolder
  /// The root's own file system.
  let device: UInt64
  let isMemory: Bool
  private let oneFileSystem: Bool
  private static let longest = 4000

  init(_ path: String, oneFileSystem: Bool) throws {
    folder = try TreeFolder(root: path)
    guard let entry = try folder.entry([]) else { throw FerryError(.notFound, "\(path) is gone") }
    device = entry.identity.device
    isMemory = clinux_is_memory(folder.descriptor.number) == 1
    self.oneFileSystem = oneFileSystem
  }

  /// Opens a folder by its path below the root: a descriptor of the caller's, or -errno.
  func open(_ path: UnsafeRawBufferPointer) -> Int32 {
    if path.isEmpty { return clinux_openat(folder.descriptor.number, ".", O_RDONLY | O_DIRECTORY, 0) }
    var from = folder.descriptor.number
    var rest = path
    while true {
      let end = rest.count <= Self.longest ? rest.count : rest[..<Self.longest].lastIndex(of: 0x2f) ?? rest.count
      let next = Self.withText(UnsafeRawBufferPointer(rebasing: rest[..<end])) {
        clinux_open_inside(from, $0, O_RDONLY | O_DIRECTORY, oneFileSystem ? 1 : 0)
      }
      if from != folder.descriptor.number { close(from) }
      guard next >= 0, end < rest.count else { return next }
      from = next
      rest = UnsafeRawBufferPointer(rebasing: rest[(end + 1)...])
    }
  }

  /// Opens a folder, and makes it and what is missing above it. `clear` is asked to remove what is in the way under a name.
  func make(_ path: UnsafeRawBufferPointer, clear: (_ folder: Int32, _ name: UnsafeRawBufferPointer, _ end: Int) throws -> Void) throws -> (
    descriptor: Int32, isNew: Bool
  ) {
    let known = open(path)
    if known >= 0 { return (known, false) }
    guard [-ENOENT, -ENOTDIR, -ELOOP, -EACCES].contains(known) else { throw failure(-known, "cannot open", path) }
    // Up to the first one that is there, then down again.
    var start = 0
    var from: Int32 = -1
    var upper = path[...].lastIndex(of: 0x2f)
    while from < 0 {
      from = open(UnsafeRawBufferPointer(rebasing: path[..<(upper ?? 0)]))
      start = upper.map { $0 + 1 } ?? 0
      if from < 0 {
        guard let slash = upper else { throw failure(-from, "cannot open", path) }
        upper = path[..<slash].lastIndex(of: 0x2f)
      }
    }
    while true {
      let end = path[start...].firstIndex(of: 0x2f) ?? path.count
      let name = UnsafeRawBufferPointer(rebasing: path[start..<end])
      let next = try Self.withText(name) { text in
        var next = clinux_openat(from, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
        if next == -ENOTDIR || next == -ELOOP {
          try clear(from, name, end)
          next = -ENOENT
        }
        // What another pass closed to its owner; only root may enter all the same.
        if next == -EACCES, fchmodat(from, text, 0o700, 0) == 0 { next = clinux_openat(from, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) }
        if next == -ENOENT {
          if mkdirat(from, text, 0o700) != 0, errno != EEXIST { return -errno }
          next = clinux_openat(from, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
        }
        return next
      }
      close(from)
      guard next >= 0 else { throw failure(-next, "cannot make the folder", path) }
      from = next
      if end == path.count { return (from, true) }
      start = end + 1
    }
  }

  /// What is at a path below the root; nil if nothing is.
  func status(of path: [UInt8]) -> TreeStatus? {
    let slash = path.lastIndex(of: 0x2f)
    let parent = path[..<(slash ?? 0)].withUnsafeBytes { open($0) }
    guard parent >= 0 else { return nil }
    defer { close(parent) }
    if path.isEmpty { return TreeStatus(descriptor: parent) }
    var raw = stat()
    let found = path[(slash.map { $0 + 1 } ?? 0)...].withUnsafeBytes { name in
      Self.withText(name) { fstatat(parent, $0, &raw, AT_SYMLINK_NOFOLLOW) }
    }
    return found == 0 ? TreeStatus(raw) : nil
  }

  func failure(_ code: Int32, _ what: String, _ path: UnsafeRawBufferPointer) -> FerryError {
    var error = FerryError(errno: code, "\(what) \(path.isEmpty ? "the tree's root" : TreePath.escaped(Array(path)))")
    if [ENOENT, ENOTDIR, ELOOP, EISDIR, EEXIST, ENOTEMPTY].contains(code) { error.code = Self.raced }
    return error
  }

  /// Something is not what it just was. Lanes that follow a tree in use get in each other's way: one removes the folder that another fills.
  static let raced = "changed-meanwhile"

  /// A folder without a name: nothing can be made in it. For what has lost its place.
  func limbo(_ temporary: [UInt8]) throws -> Int32 {
    try temporary.withUnsafeBytes { temporary in
      try Self.withText(temporary) { text in
        guard mkdirat(folder.descriptor.number, text, 0o700) == 0 else { throw failure(errno, "cannot make a folder in", temporary) }
        defer { unlinkat(folder.descriptor.number, text, AT_REMOVEDIR) }
        let opened = clinux_openat(folder.descriptor.number, text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
        guard opened >= 0 else { throw failure(-opened, "cannot make a folder in", temporary) }
        return opened
      }
    }
  }

  /// A file without a name, for the same.
  func limboFile(_ temporary: [UInt8]) throws -> Int32 {
    try temporary.withUnsafeBytes { temporary in
      try Self.withText(temporary) { text in
        let opened = clinux_openat(folder.descriptor.number, text, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
        guard opened >= 0 else { throw failure(-opened, "cannot make a file in", temporary) }
        unlinkat(folder.descriptor.number, text, 0)
        return opened
      }
    }
  }

  /// Calls with bytes that end in NUL.
  static func withText<Result>(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
    try withUnsafeTemporaryAllocation(byteCount: bytes.count + 1, alignment: 1) { buffer in
      buffer.copyMemory(from: bytes)
      buffer[bytes.count] = 0
      // A buffer of at least one byte has an address.
      return try body(buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self))
    }
  }
}
