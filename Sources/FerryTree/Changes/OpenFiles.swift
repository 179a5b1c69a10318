import FerrySystem
import Glibc

/// Files that processes hold open for writing, or map shared. Nothing tells of what is written to them until they are closed, so in a
/// tree whose service is frozen rather than stopped they count as changed.
///
/// A process may see the tree elsewhere, a container in a mount namespace of its own: paths are compared where they are in the file
/// system, by each process's own table of mounts, and confirmed by the file that is there. If the tree is an overlay's upper folder, what is open
/// on the overlay counts: it is in the folder under the same path.
public struct OpenFiles: Sendable, Hashable {
  /// Paths below the root.
  public var paths: Set<[UInt8]> = []
  /// Files of the root's file system that could not be placed in the tree or outside of it.
  public var unplaced = 0
  /// Processes that this user may not look into.
  public var hidden = 0

  /// Looks at all processes.
  public init(below root: String) throws {
    let folder = try TreeFolder(root: root)
    guard let entry = try folder.entry([]) else { throw FerryError(.notFound, "the folder is gone") }
    let path = try TreeLocation.absolutePath(of: folder.descriptor)
    var search = Search(
      root: folder, device: entry.identity.device, own: try MountTable("/proc/self/mountinfo", upper: path), rootPath: path)
    for name in Files.names(in: "/proc") where name.first?.isNumber == true { search.look(into: "/proc/\(name)") }
    self = search.found
  }

  /// As changes.
  public var changes: TreeChanges { TreeChanges(entries: paths, isComplete: unplaced == 0) }

  fileprivate init() {}
}

private struct Search {
  let root: TreeFolder
  let device: UInt64
  let own: MountTable
  let rootPath: [UInt8]
  var found = OpenFiles()
  private var tables: [String: MountTable] = [:]
  private lazy var place = own.place(rootPath)

  init(root: TreeFolder, device: UInt64, own: MountTable, rootPath: [UInt8]) {
    (self.root, self.device, self.own, self.rootPath) = (root, device, own, rootPath)
  }

  mutating func look(into process: String) {
    guard let descriptors = opendir("\(process)/fd") else {
      if errno == EACCES || errno == EPERM { found.hidden += 1 }
      return
    }
    defer { closedir(descriptors) }
    while let entry = readdir(descriptors) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      let path = "\(process)/fd/\(name)"
      var (link, status) = (stat(), stat())
      // The link's own mode says what it was opened for.
      guard lstat(path, &link) == 0, link.st_mode & 0o200 != 0, link.st_mode & S_IFMT == S_IFLNK, stat(path, &status) == 0 else { continue }
      guard status.st_mode & S_IFMT == S_IFREG, status.st_nlink > 0 else { continue }
      guard UInt64(status.st_dev) == device || table(of: process)?.overlays.contains(UInt64(status.st_dev)) == true else { continue }
      note(Self.target(path), UInt64(status.st_ino), process)
    }
    for line in (try? Files.read("\(process)/maps", limit: 256 << 20).split(separator: 0x0a)) ?? [] {
      // address perms offset device inode path; most are private, which the fourth letter of perms says
      guard let space = line.firstIndex(of: 0x20), space + 4 < line.endIndex, line[space + 4] == 0x73 else { continue }
      let fields = line.split(separator: 0x20, maxSplits: 5)
      guard fields.count == 6, let inode = UInt64(String(decoding: fields[4], as: UTF8.self)), inode != 0 else {
        continue
      }
      let path = fields[5].drop { $0 == 0x20 }
      guard path.first == 0x2f, !path.starts(with: Array("/dev/".utf8)), !path.starts(with: Array("/memfd:".utf8)) else { continue }
      note(TreeLocation.unescaped(path), inode, process, isMap: true)
    }
  }

  /// A map tells of no device that could be compared, so one that cannot be placed is taken for another file system's.
  private mutating func note(_ path: [UInt8]?, _ inode: UInt64, _ process: String, isMap: Bool = false) {
    guard let path, path.first == 0x2f, let table = table(of: process) else {
      if !isMap { found.unplaced += 1 }
      return
    }
    var isElsewhere = false
    let there = table.place(path)
    if let there, there.isOver {
      // It need not have the number that it has in the folder.
      if !confirm(Array(there.path.dropFirst()), nil), !isMap { found.unplaced += 1 }
      return
    }
    if let there, let place {
      if there.device == place.device, let below = TreeLocation.relative(there.path, to: place.path) {
        if confirm(below, inode) { return }
      } else {
        isElsewhere = true
      }
    }
    // Bind mounts of a part of the tree, or ones that hide another.
    if let below = TreeLocation.relative(path, to: rootPath), confirm(below, inode) { return }
    if !isElsewhere, !isMap { found.unplaced += 1 }
  }

  /// Whether the file with that number, or any file, is at a path below the root.
  private mutating func confirm(_ path: [UInt8], _ inode: UInt64?) -> Bool {
    let name = path.lastIndex(of: 0x2f).map { Array(path[($0 + 1)...]) } ?? path
    let number = root.descend(path.count == name.count ? [0x2e] : Array(path.dropLast(name.count + 1)))
    guard number >= 0 else { return false }
    let folder = TreeFolder(path: [], descriptor: Descriptor(number))
    guard let entry = try? folder.entry(name), entry.kind == .file else { return false }
    guard inode.map({ entry.identity == FileIdentity(device: device, inode: $0) }) ?? true else { return false }
    found.paths.insert(path)
    return true
  }

  private mutating func table(of process: String) -> MountTable? {
    let namespace = Self.target("\(process)/ns/mnt").map { String(decoding: $0, as: UTF8.self) } ?? process
    if let known = tables[namespace] { return known }
    let table = try? MountTable("\(process)/mountinfo", upper: rootPath)
    tables[namespace] = table
    return table
  }

  private static func target(_ link: String) -> [UInt8]? {
    var length = 0
    let path = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
      length = buffer.withMemoryRebound(to: CChar.self) { readlink(link, $0.baseAddress.unsafelyUnwrapped, 4096) }
      count = max(0, length)
    }
    return length > 0 ? path : nil
  }
}
