import CLinux
import FerrySystem
import Glibc

/// Writes entries below a root and nowhere else, whatever their paths say. An entry is complete or absent: it takes its name when it is.
///
/// Folders are reached name by name; none of them may be a link or lie on another file system. Their own metadata is set by `finish`,
/// since what is written in them would change it.
public final class TreeWriter {
  private let form: TreeForm
  private let owners: (any OwnerMapping)?
  private let limits: TreeLimits
  private let device: UInt64
  /// The folders from the root to the one written to last; of a path deeper than there are descriptors, that last one.
  private var chain: [(name: [UInt8], folder: TreeFolder)]
  private var deep: (names: [[UInt8]], folder: TreeFolder)?
  private static let mostOpen = 128
  private var waiting: [[UInt8]: EntryMetadata] = [:]

  /// Writes to a folder.
  public init(root: TreeFolder, form: TreeForm, owners: (any OwnerMapping)? = nil, limits: TreeLimits = TreeLimits()) throws {
    guard let entry = try root.entry([]) else { throw FerryError(.notFound, "the folder is gone") }
    self.form = form
    self.owners = owners
    self.limits = limits
    device = entry.identity.device
    chain = [([], TreeFolder(path: [], descriptor: root.descriptor))]
  }

  // MARK: Paths

  /// The names of a path below a root, none for the root itself. What could lead elsewhere is refused.
  public static func names(of path: [UInt8], limits: TreeLimits = TreeLimits()) throws -> [[UInt8]] {
    func refuse(_ why: String) -> FerryError { FerryError(.invalid, "\(TreePath.escaped(path)) is refused: \(why)", code: "refused-entry") }
    guard path.count <= limits.path else { throw FerryError(.invalid, "a path of \(path.count) bytes is refused", code: "refused-entry") }
    guard path.first != 0x2f else { throw refuse("it starts at the system's root") }
    guard !path.contains(0) else { throw refuse("it holds a NUL") }
    let names = path.split(separator: 0x2f).filter { $0 != [0x2e] }
    for name in names {
      if name == [0x2e, 0x2e] { throw refuse("it leads upwards") }
      if name.count > 255 { throw refuse("a name in it is longer than 255 bytes") }
    }
    return names.map { Array($0) }
  }

  private func names(_ path: [UInt8]) throws -> (parents: ArraySlice<[UInt8]>, name: [UInt8]) {
    let names = try Self.names(of: path, limits: limits)
    guard let name = names.last else { throw FerryError(.invalid, "the root is a folder, and stays one", code: "refused-entry") }
    return (names.dropLast(), name)
  }

  /// The folder with these names below each other. Missing ones are made if that is wanted, else there is none.
  private func folder(_ names: ArraySlice<[UInt8]>, making: Bool = true) throws -> TreeFolder? {
    var common = 0
    for (open, name) in zip(chain.dropFirst(), names) {
      guard open.name == name else { break }
      common += 1
    }
    chain.removeLast(chain.count - 1 - common)
    var folder = chain[common].folder
    if let deep, names.count >= deep.names.count, names.starts(with: deep.names) { (folder, common) = (deep.folder, deep.names.count) }
    for name in names.dropFirst(common) {
      guard let child = try enter(name, folder, making: making) else { return nil }
      folder = child
      if chain.count - 1 == common, chain.count < Self.mostOpen { chain.append((name, child)) }
      common += 1
    }
    deep = names.count < Self.mostOpen ? nil : (Array(names), folder)
    return folder
  }

  private func enter(_ name: [UInt8], _ parent: TreeFolder, making: Bool) throws -> TreeFolder? {
    var number = parent.openFolder(name)
    if number == -ENOENT {
      guard making else { return nil }
      let failed = withCString(name) { mkdirat(parent.descriptor.number, $0, 0o755) }
      guard failed == 0 || errno == EEXIST else { throw parent.failure(errno, "cannot make", name) }
      number = parent.openFolder(name)
    }
    if number == -ENOTDIR || number == -ELOOP {
      throw FerryError(.invalid, "\(parent.shown(name)) is refused as a folder: it is a link or a file here", code: "refused-entry")
    }
    guard number >= 0 else { throw parent.failure(-number, "cannot open", name) }
    let folder = TreeFolder(path: TreePath.joined(parent.path, name), descriptor: Descriptor(number))
    guard try folder.entry([])?.identity.device == device else {
      throw FerryError(.conflict, "something is mounted at \(folder.shown([])): nothing is written to another file system")
    }
    return folder
  }

  // MARK: Entries

  /// A folder; one that is there is kept with what is in it. The empty path is the root.
  public func makeFolder(_ path: [UInt8], _ metadata: EntryMetadata) throws {
    let names = try Self.names(of: path, limits: limits)
    if let name = names.last, let parent = try folder(names.dropLast()) {
      if let old = try parent.entry(name), old.kind != .folder { try remove(name, parent, old) }
      let failed = withCString(name) { mkdirat(parent.descriptor.number, $0, 0o700) }
      guard failed == 0 || errno == EEXIST else { throw parent.failure(errno, "cannot make", name) }
      // Only root may write in a folder that its owner has closed; it gets its mode at the end.
      if failed != 0, geteuid() != 0 { _ = withCString(name) { fchmodat(parent.descriptor.number, $0, 0o700, 0) } }
    }
    waiting[Array(names.joined(separator: [0x2f]))] = metadata
  }

  /// A file, which has no name yet. Write its content, then `keep` it.
  public func makeFile(_ path: [UInt8], size: Int64) throws -> TreeFile {
    guard size >= 0, size <= limits.fileSize else {
      throw FerryError(.invalid, "\(TreePath.escaped(path)) is refused: a file of \(size) bytes", code: "refused-entry")
    }
    let (parent, name) = try place(path)
    let temporary = Self.temporaryName()
    let number = withCString(temporary) { clinux_openat(parent.descriptor.number, $0, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600) }
    guard number >= 0 else { throw parent.failure(-number, "cannot make", name) }
    return TreeFile(descriptor: Descriptor(number), folder: parent, temporary: temporary, name: name, size: size)
  }

  /// Gives a file its metadata and its name.
  public func keep(_ file: TreeFile, _ metadata: EntryMetadata) throws {
    guard ftruncate(file.descriptor.number, Int(file.size)) == 0 else { throw file.folder.failure(errno, "cannot write", file.name) }
    try finish(file.folder, file.temporary, file.name, file.descriptor, .file, metadata)
    file.isKept = true
  }

  /// A symbolic link; where it points is its own affair.
  public func makeLink(_ path: [UInt8], target: [UInt8], _ metadata: EntryMetadata) throws {
    guard !target.isEmpty, target.count < 4096, !target.contains(0) else {
      throw FerryError(.invalid, "\(TreePath.escaped(path)) is refused: a link of \(target.count) bytes", code: "refused-entry")
    }
    try make(path, .link, metadata) { folder, name in withCString(target) { symlinkat($0, folder, name) } }
  }

  /// A fifo, a socket or a device file; devices only where the form has them.
  public func makeNode(_ path: [UInt8], _ kind: EntryKind, device: UInt64, _ metadata: EntryMetadata) throws {
    if kind.isDevice, !form.devices {
      throw FerryError(.invalid, "\(TreePath.escaped(path)) is refused: no device files here", code: "refused-entry")
    }
    let type: UInt32
    switch kind {
    case .fifo: type = S_IFIFO
    case .socket: type = S_IFSOCK
    case .characterDevice: type = S_IFCHR
    case .blockDevice: type = S_IFBLK
    case .file, .folder, .link: throw FerryError(.internal, "a \(kind) is no node")
    }
    try make(path, kind, metadata) { folder, name in mknodat(folder, name, type | 0o600, dev_t(kind.isDevice ? device : 0)) }
  }

  /// One more name of a file that was written before, below the same root.
  public func makeHardLink(_ path: [UInt8], to target: [UInt8]) throws {
    let source = try names(target)
    guard let folder = try folder(source.parents, making: false), let old = try folder.entry(source.name), old.kind != .folder else {
      throw FerryError(
        .invalid, "\(TreePath.escaped(path)) is refused: a hard link to \(TreePath.escaped(target)), which is not there",
        code: "refused-entry")
    }
    let (parent, name) = try place(path)
    if try parent.entry(name)?.identity == old.identity { return }
    let temporary = Self.temporaryName()
    let failed = withCString(source.name) { from in
      withCString(temporary) { linkat(folder.descriptor.number, from, parent.descriptor.number, $0, 0) }
    }
    guard failed == 0 else { throw parent.failure(errno, "cannot link", name) }
    try rename(parent, temporary, name)
  }

  /// Removes whatever has this path; nothing is fine too.
  public func remove(_ path: [UInt8]) throws {
    let (parents, name) = try names(path)
    guard let parent = try folder(parents, making: false), let old = try parent.entry(name) else { return }
    try remove(name, parent, old)
  }

  /// What a path is now; nil if there is nothing.
  public func kind(of path: [UInt8]) throws -> EntryKind? {
    let names = try Self.names(of: path, limits: limits)
    guard let name = names.last else { return .folder }
    return try folder(names.dropLast(), making: false)?.entry(name)?.kind
  }

  /// The names that are in a folder now; none if there is nothing of that path.
  public func names(in path: [UInt8]) throws -> [[UInt8]] {
    try folder(Self.names(of: path, limits: limits)[...], making: false)?.names() ?? []
  }

  /// Sets the metadata of all folders that were made; those below first.
  public func finish() throws {
    for (path, metadata) in waiting.sorted(by: { $0.key.count > $1.key.count }) {
      guard let folder = try folder(Self.names(of: path, limits: limits)[...], making: false) else { continue }
      do { try metadata.apply(to: folder.descriptor, .folder, form, owners) } catch {
        throw FerryError.wrap(error).inside(folder.shown([]))
      }
    }
    waiting = [:]
  }

  // MARK: Steps

  private func place(_ path: [UInt8]) throws -> (parent: TreeFolder, name: [UInt8]) {
    let (parents, name) = try names(path)
    guard let parent = try folder(parents) else { throw FerryError(.internal, "a folder was not made") }
    return (parent, name)
  }

  private func make(_ path: [UInt8], _ kind: EntryKind, _ metadata: EntryMetadata, _ body: (Int32, UnsafePointer<CChar>) -> Int32) throws {
    let (parent, name) = try place(path)
    let temporary = Self.temporaryName()
    guard withCString(temporary, { body(parent.descriptor.number, $0) }) == 0 else { throw parent.failure(errno, "cannot make", name) }
    do {
      try finish(parent, temporary, name, try parent.open(temporary, Int32(CLINUX_O_PATH)), kind, metadata)
    } catch {
      _ = withCString(temporary) { unlinkat(parent.descriptor.number, $0, 0) }
      throw error
    }
  }

  private func finish(
    _ folder: TreeFolder, _ temporary: [UInt8], _ name: [UInt8], _ descriptor: Descriptor, _ kind: EntryKind, _ metadata: EntryMetadata
  ) throws {
    do { try metadata.apply(to: descriptor, kind, form, owners) } catch { throw FerryError.wrap(error).inside(folder.shown(name)) }
    try rename(folder, temporary, name)
  }

  private func rename(_ folder: TreeFolder, _ temporary: [UInt8], _ name: [UInt8]) throws {
    let number = folder.descriptor.number
    func attempt() -> Int32 { withCString(temporary) { from in withCString(name) { clinux_rename(number, from, number, $0, 0) } } }
    var failed = attempt()
    if failed == -EISDIR, let old = try folder.entry(name) {
      try remove(name, folder, old)
      failed = attempt()
    }
    guard failed == 0 else {
      _ = withCString(temporary) { unlinkat(number, $0, 0) }
      throw folder.failure(-failed, "cannot make", name)
    }
  }

  private func remove(_ name: [UInt8], _ parent: TreeFolder, _ old: TreeEntry) throws {
    try TreeRemoval.remove(name, in: parent, old)
    guard old.kind == .folder else { return }
    let gone = TreePath.joined(parent.path, name)
    if let index = chain.firstIndex(where: { $0.folder.path == gone }) { chain.removeLast(chain.count - index) }
    deep = nil
    waiting = waiting.filter { $0.key != gone && !$0.key.starts(with: gone + [0x2f]) }
  }

  private static func temporaryName() -> [UInt8] { Array(".ferry-\(String(UInt64.random(in: .min ... .max), radix: 16)).new".utf8) }
}

/// A file that is being written, without its name yet. Gone again if nobody keeps it.
public final class TreeFile {
  fileprivate let descriptor: Descriptor
  fileprivate let folder: TreeFolder
  fileprivate let temporary: [UInt8]
  fileprivate let name: [UInt8]
  fileprivate let size: Int64
  fileprivate var isKept = false

  fileprivate init(descriptor: Descriptor, folder: TreeFolder, temporary: [UInt8], name: [UInt8], size: Int64) {
    self.descriptor = descriptor
    self.folder = folder
    self.temporary = temporary
    self.name = name
    self.size = size
  }

  deinit {
    if !isKept { _ = withCString(temporary) { unlinkat(folder.descriptor.number, $0, 0) } }
  }

  /// Takes all of its content from a file of its size: shared with it where the file system can, else copied but for its holes.
  public func copy(_ other: Descriptor) throws {
    guard clinux_clone(descriptor.number, other.number) != 0 else { return }
    var offset: Int64 = 0
    while offset < size {
      let start = clinux_seek_data(other.number, offset)
      // Nothing but a hole follows.
      if start == -Int64(ENXIO) { return }
      guard start >= 0 else { throw folder.failure(Int32(-start), "cannot read what is to be", name) }
      let end = min(size, max(start, clinux_seek_hole(other.number, start)))
      offset = start
      while offset < end {
        let count = clinux_copy_range(other.number, descriptor.number, offset, UInt64(end - offset))
        guard count > 0 else { throw folder.failure(count < 0 ? Int32(-count) : EIO, "cannot copy", name) }
        offset += count
      }
      if end <= start { return }
    }
  }

  /// Writes a part of its content; what is never written is a hole.
  public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws {
    guard offset >= 0, offset <= size, Int64(bytes.count) <= size - offset else {
      throw FerryError(.invalid, "\(folder.shown(name)) is refused: content beyond its end", code: "refused-entry")
    }
    var start = 0
    while start < bytes.count {
      let written = pwrite(descriptor.number, bytes.baseAddress?.advanced(by: start), bytes.count - start, Int(offset) + start)
      if written < 0 {
        if errno == EINTR { continue }
        throw folder.failure(errno, "cannot write", name)
      }
      start += written
    }
  }
}
