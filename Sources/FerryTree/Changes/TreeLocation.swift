import CLinux
import FerrySystem
import Glibc

/// Where a tree is among all others: turns handles of folders into paths below its root, and knows what is mounted in it.
final class TreeLocation {
  private let root: TreeFolder
  private let device: UInt64
  private var rootPath: [UInt8]
  private var known: Set<[UInt8]> = []

  init(_ root: TreeFolder) throws {
    self.root = root
    rootPath = try Self.absolutePath(of: root.descriptor)
    guard let entry = try root.entry([]) else { throw FerryError(.notFound, "the folder is gone") }
    device = entry.identity.device
    known = try mounts()
  }

  /// The path of a folder below the root; nil if it is elsewhere, or gone.
  func path(of handle: [UInt8]) throws -> [UInt8]? { try open(handle).flatMap { try path(of: $0.descriptor) } }

  /// Whether anything still has a handle.
  func exists(_ handle: [UInt8], any: Bool = false) throws -> Bool { try open(handle, any: any) != nil }

  /// What has a handle, and how many names it has; nil if it is gone.
  private func open(_ handle: [UInt8], any: Bool = false) throws -> (descriptor: Descriptor, names: UInt64, inode: UInt64)? {
    let number = clinux_open_handle(root.descriptor.number, handle, UInt32(handle.count), any ? 1 : 0)
    if number == -ESTALE || number == -ENOENT { return nil }
    guard number >= 0 else { throw FerryError(errno: -number, "cannot open what a handle leads to") }
    let descriptor = Descriptor(number)
    var status = stat()
    guard fstat(number, &status) == 0, status.st_nlink > 0 else { return nil }
    return (descriptor, UInt64(status.st_nlink), UInt64(status.st_ino))
  }

  /// Files that changed under names of a folder, and are not there under these any more: where they are now. A file that was written
  /// through one of its names, which then went, is known by no event under another. Incomplete if that cannot be found out; of files that
  /// still have several names one at most is found, and whoever knows the others has to look at them.
  func moved(_ handle: [UInt8], _ files: [[UInt8]: [UInt8]]) throws -> TreeChanges {
    var changes = TreeChanges()
    let folder = try open(handle)
    var found = [UInt8](repeating: 0, count: Int(CLINUX_HANDLE))
    for (file, name) in files {
      if let folder {
        let length = withCString(name) { clinux_handle(folder.descriptor.number, $0, &found) }
        if length == Int32(file.count), found.starts(with: file) { continue }
      }
      guard let (descriptor, names, inode) = try open(file, any: true) else { continue }
      // One of its names, be it a former one; or none, if the kernel does not have it at hand.
      let path = try Self.shortPath(of: descriptor) ?? [0x2f]
      if path == [0x2f] {
        if names == 1 { changes.isComplete = false }
      } else if let below = Self.relative(path, to: try Self.absolutePath(of: root.descriptor)), !below.isEmpty {
        if try holds(below, inode) { changes.entries.insert(below) } else { changes.isComplete = false }
      }
    }
    return changes
  }

  private func holds(_ path: [UInt8], _ inode: UInt64) throws -> Bool {
    let slash = path.lastIndex(of: 0x2f)
    let number = root.descend(slash.map { Array(path[..<$0]) } ?? [0x2e])
    guard number >= 0 else { return false }
    let folder = TreeFolder(path: [], descriptor: Descriptor(number))
    return try folder.entry(Array(path[(slash.map { $0 + 1 } ?? 0)...]))?.identity == FileIdentity(device: device, inode: inode)
  }

  private func path(of folder: Descriptor) throws -> [UInt8]? {
    while true {
      let path: [UInt8]
      // Moved or removed while we looked: that is an event of its own.
      do { path = try Self.absolutePath(of: folder) } catch let error as FerryError where error.class == .notFound { return nil }
      if let relative = Self.relative(path, to: rootPath) { return relative }
      // Before it counts as elsewhere: has the root itself moved, and did it stay where it is while we looked?
      let now = try Self.absolutePath(of: root.descriptor)
      if now == rootPath { return nil }
      rootPath = now
    }
  }

  /// Paths below the root at which the tree's own file system is mounted once more: what happens there happens elsewhere for a watcher.
  /// Also those at which it was when asked last.
  func mounts() throws -> Set<[UInt8]> {
    let path = try Self.absolutePath(of: root.descriptor)
    var found: Set<[UInt8]> = []
    for line in try Files.read("/proc/self/mountinfo").split(separator: 0x0a) {
      let fields = line.split(separator: 0x20, maxSplits: 5)
      guard fields.count > 4, let below = Self.relative(Self.unescaped(fields[4]), to: path), !below.isEmpty else { continue }
      var status = stat()
      let failed = withCString(below) { fstatat(root.descriptor.number, $0, &status, AT_SYMLINK_NOFOLLOW) }
      if failed == 0, UInt64(status.st_dev) == device { found.insert(below) }
    }
    defer { known = found }
    return found.union(known)
  }

  static func relative(_ path: [UInt8], to root: [UInt8]) -> [UInt8]? {
    if root == [0x2f] { return Array(path.dropFirst()) }
    guard path.starts(with: root) else { return nil }
    if path.count == root.count { return [] }
    return path[root.count] == 0x2f ? Array(path.dropFirst(root.count + 1)) : nil
  }

  /// `\040` and the like, as the kernel writes blanks in its tables.
  static func unescaped(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var (plain, rest) = ([UInt8](), text)
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      guard byte == 0x5c, digits.count == 3, digits.allSatisfy({ (0x30...0x37).contains($0) }) else {
        plain.append(byte)
        continue
      }
      plain.append(UInt8(truncatingIfNeeded: digits.reduce(0) { $0 * 8 + Int($1) - 0x30 }))
      rest = rest.dropFirst(3)
    }
    return plain
  }

  /// The absolute path of an open folder, of any length.
  static func absolutePath(of folder: Descriptor) throws -> [UInt8] {
    var (current, below) = (folder, [[UInt8]]())
    while true {
      if let path = try shortPath(of: current) { return below.reversed().reduce(path) { ($0 == [0x2f] ? $0 : $0 + [0x2f]) + $1 } }
      // Longer than the kernel says: from the folder above, and the name there.
      let number = clinux_openat(current.number, "..", O_RDONLY | O_DIRECTORY, 0)
      guard number >= 0 else { throw FerryError(errno: -number, "cannot open a folder's parent") }
      let parent = Descriptor(number)
      below.append(try name(of: current, in: TreeFolder(path: [], descriptor: parent)))
      current = parent
    }
  }

  private static func shortPath(of folder: Descriptor) throws -> [UInt8]? {
    var length = 0
    let path = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
      length = buffer.withMemoryRebound(to: CChar.self) {
        readlink("/proc/self/fd/\(folder.number)", $0.baseAddress.unsafelyUnwrapped, 4096)
      }
      count = max(0, length)
    }
    if length < 0, errno == ENAMETOOLONG { return nil }
    guard length >= 0 else { throw FerryError(errno: errno, "cannot tell where a folder is") }
    return length < 4096 ? path : nil
  }

  private static func name(of folder: Descriptor, in parent: TreeFolder) throws -> [UInt8] {
    var status = stat()
    guard fstat(folder.number, &status) == 0 else { throw FerryError(errno: errno, "cannot look at a folder") }
    let identity = FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    for name in try parent.names() where try parent.entry(name)?.identity == identity { return name }
    throw FerryError(.notFound, "a folder is gone")
  }
}
