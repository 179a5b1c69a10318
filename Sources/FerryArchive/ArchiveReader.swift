import CArchive
import FerrySystem
import FerryTree
import Glibc

/// Reads a tar archive of any flavour, plain or compressed by gzip or zstd, from a descriptor: once, from its beginning to its end.
///
/// An archive that ends early is an error, even between two entries.
public final class ArchiveReader {
  private let handle: ArchiveHandle
  private let source: Int32
  private let limits: TreeLimits
  private var entries: Int64 = 0
  private var bytes: Int64 = 0

  /// Reads from an open descriptor, which stays the caller's.
  public init(_ source: Int32, limits: TreeLimits = TreeLimits()) throws {
    handle = try ArchiveHandle(reader: true)
    self.source = source
    self.limits = limits
    try handle.plainly { archive in
      try handle.check(archive_read_support_format_tar(archive), "no tar")
      for support in [archive_read_support_filter_gzip, archive_read_support_filter_zstd] {
        try handle.check(support(archive), "no decompression")
      }
      try handle.check(archive_read_open_fd(archive, source, 1 << 18), "cannot read the archive")
    }
  }

  /// The next entry; nil at the end of a whole archive.
  public func next() throws -> ArchiveEntry? {
    try handle.plainly { archive in
      var pointer: OpaquePointer?
      switch archive_read_next_header(archive, &pointer) {
      case ARCHIVE_EOF:
        try checkEnd(archive)
        return nil
      case ARCHIVE_OK: break
      // Names that are not in this locale are what we want: bytes. Any other warning is something lost.
      case ARCHIVE_WARN where archive_error_string(archive).map { String(cString: $0).contains("to current locale") } ?? false: break
      default: throw handle.failure("cannot read the archive")
      }
      guard let pointer else { throw handle.failure("cannot read the archive") }
      let entry = try read(pointer)
      entries += 1
      bytes += entry.size
      guard entries <= limits.entries else { throw refusal("it holds more than \(limits.entries) entries") }
      guard entry.size <= limits.fileSize, bytes <= limits.bytes else {
        throw refusal("\(TreePath.escaped(entry.path)) and all before it have \(bytes) bytes")
      }
      return entry
    }
  }

  /// The content of the entry that came last, piece by piece with their offsets. What lies between them is a hole.
  public func content(_ body: (UnsafeRawBufferPointer, Int64) throws -> Void) throws {
    try handle.plainly { archive in
      while true {
        var (pointer, count, offset) = (UnsafeRawPointer?.none, 0, Int64(0))
        let result = archive_read_data_block(archive, &pointer, &count, &offset)
        if result == ARCHIVE_EOF { return }
        try handle.check(result, "cannot read the archive")
        try body(UnsafeRawBufferPointer(start: pointer, count: count), offset)
      }
    }
  }

  private func refusal(_ why: String) -> FerryError { FerryError(.invalid, "the archive is refused: \(why)", code: "refused-entry") }

  /// A block of zeros ends an archive. Without it somebody stopped writing.
  private func checkEnd(_ archive: OpaquePointer) throws {
    guard archive_filter_bytes(archive, 0) > archive_read_header_position(archive) else {
      throw FerryError(.io, "the archive ends early", hint: "whoever wrote it did not finish", code: "truncated")
    }
    // Blocks are padded; whoever writes them wants them to be read.
    var padding = 0
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 8)
    defer { buffer.deallocate() }
    while padding < 1 << 22 {
      let count = Glibc.read(source, buffer.baseAddress, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      padding += count
    }
    throw refusal("it does not end where it says")
  }

  private func read(_ pointer: OpaquePointer) throws -> ArchiveEntry {
    guard let path = Self.bytes(archive_entry_pathname(pointer)), !path.isEmpty else { throw refusal("an entry has no name") }
    let hardLink = Self.bytes(archive_entry_hardlink(pointer))
    let mode = UInt32(archive_entry_mode(pointer))
    guard let kind = EntryKind(mode: mode) ?? (hardLink == nil ? nil : .file) else {
      throw refusal("\(TreePath.escaped(path)) is of no kind that a tree can hold")
    }
    guard let owner = UInt32(exactly: archive_entry_uid(pointer)), let group = UInt32(exactly: archive_entry_gid(pointer)),
      // To the system the last number means: leave it.
      owner < .max, group < .max
    else {
      throw refusal("\(TreePath.escaped(path)) has owners that no system has")
    }
    let time = ArchiveTime.time(archive_entry_mtime(pointer), archive_entry_mtime_nsec(pointer))
    var entry = ArchiveEntry(
      path: path, kind: kind,
      metadata: EntryMetadata(mode: mode & 0o7777, owner: owner, group: group, modified: time, attributes: attributes(pointer)))
    entry.hardLink = hardLink
    if kind == .file, hardLink == nil {
      entry.size = archive_entry_size(pointer)
      guard entry.size >= 0 else { throw refusal("\(TreePath.escaped(path)) has \(entry.size) bytes") }
    }
    if kind == .link { entry.target = Self.bytes(archive_entry_symlink(pointer)) ?? [] }
    if kind.isDevice { entry.device = UInt64(archive_entry_rdev(pointer)) }
    let size = entry.metadata.attributes.reduce(0) { $0 + $1.name.count + $1.value.count }
    guard size <= limits.attributes else { throw refusal("\(TreePath.escaped(path)) has \(size) bytes of attributes") }
    return entry
  }

  private static func bytes(_ text: UnsafePointer<CChar>?) -> [UInt8]? {
    text.map { text in Array(UnsafeRawBufferPointer(start: text, count: strlen(text))) }
  }

  private func attributes(_ pointer: OpaquePointer) -> [(name: [UInt8], value: [UInt8])] {
    var found: [(name: [UInt8], value: [UInt8])] = []
    archive_entry_xattr_reset(pointer)
    var (name, value, count) = (UnsafePointer<CChar>?.none, UnsafeRawPointer?.none, 0)
    while archive_entry_xattr_next(pointer, &name, &value, &count) == ARCHIVE_OK {
      guard let name = Self.bytes(name) else { continue }
      found.append((AttributeName.decoded(name), Array(UnsafeRawBufferPointer(start: value, count: count))))
    }
    for (type, name) in [(ARCHIVE_ENTRY_ACL_TYPE_ACCESS, 0), (ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, 1)] {
      let name = Array(ExtendedAttributes.accessControl[name].utf8)
      guard !found.contains(where: { $0.name == name }), let list = accessList(pointer, type) else { continue }
      found.append((name, list))
    }
    return found.sorted { TreePath.precedes($0.name, $1.name) }
  }

  /// An ACL that came as text, as GNU tar writes it, as the kernel takes it; nil if there is none beyond the mode.
  private func accessList(_ pointer: OpaquePointer, _ type: Int32) -> [UInt8]? {
    // Without an entry of its own an access list says what the mode says.
    guard archive_entry_acl_reset(pointer, type) > (type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS ? 3 : 0) else { return nil }
    var entries: [(tag: UInt16, permissions: UInt16, id: UInt32)] = []
    var (found, permissions, tag, id) = (Int32(0), Int32(0), Int32(0), Int32(0))
    var name: UnsafePointer<CChar>?
    let tags: [Int32: UInt16] = [
      ARCHIVE_ENTRY_ACL_USER_OBJ: 1, ARCHIVE_ENTRY_ACL_USER: 2, ARCHIVE_ENTRY_ACL_GROUP_OBJ: 4, ARCHIVE_ENTRY_ACL_GROUP: 8,
      ARCHIVE_ENTRY_ACL_MASK: 0x10, ARCHIVE_ENTRY_ACL_OTHER: 0x20,
    ]
    while archive_entry_acl_next(pointer, type, &found, &permissions, &tag, &id, &name) == ARCHIVE_OK {
      guard let code = tags[tag] else { continue }
      entries.append((code, UInt16(permissions & 7), code == 2 || code == 8 ? UInt32(bitPattern: id) : .max))
    }
    return ExtendedAttributes.accessList(entries)
  }
}
