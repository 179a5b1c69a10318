import CArchive
import CLinux
import FerrySystem
import FerryTree
import Glibc

/// Writes a pax archive to a descriptor: all metadata that pax knows, extended attributes and ACLs as Docker and libarchive write them.
///
/// A tar archive holds no sockets; these are noted in the report. Nothing is an archive before `finish`.
public final class ArchiveWriter {
  private let handle: ArchiveHandle
  let options: TreeOptions
  let isTolerant: Bool
  /// The first path of files with several names.
  var shared: [FileIdentity: [UInt8]] = [:]
  /// What was written so far.
  public internal(set) var report = ArchiveReport()

  /// Writes to an open descriptor, which stays the caller's. A tolerant one goes on over files that vanish, change or cannot be read while
  /// they are read: for trees that are in use.
  public init(_ target: Int32, options: TreeOptions = TreeOptions(), isTolerant: Bool = false) throws {
    handle = try ArchiveHandle(reader: false)
    self.options = options
    self.isTolerant = isTolerant
    try handle.plainly { archive in
      try handle.check(archive_write_set_format_pax(archive), "no pax")
      try handle.check(archive_write_set_options(archive, "hdrcharset=BINARY,xattrheader=SCHILY"), "no bytes in names")
      try handle.check(archive_write_set_bytes_per_block(archive, 1 << 18), "no blocks")
      try handle.check(archive_write_set_bytes_in_last_block(archive, 512), "no blocks")
      try handle.check(archive_write_open_fd(archive, target), "cannot write the archive")
    }
  }

  /// Writes one entry. `content` is given a place to put a file's bytes to, in order and holes as zeros, `size` of them.
  public func write(_ entry: ArchiveEntry, content: ((_ put: (UnsafeRawBufferPointer) throws -> Void) throws -> Void)? = nil) throws {
    guard entry.kind != .socket else { return report.note("\(TreePath.escaped(entry.path)): an archive holds no sockets") }
    try handle.plainly { archive in
      guard let pointer = archive_entry_new() else { throw FerryError(.internal, "no memory for an entry") }
      defer { archive_entry_free(pointer) }
      fill(pointer, entry)
      try handle.check(archive_write_header(archive, pointer), "cannot write \(TreePath.escaped(entry.path)) to the archive")
      report.entries += 1
      guard entry.size > 0, entry.hardLink == nil else { return }
      var left = entry.size
      try content? { bytes in
        guard !bytes.isEmpty else { return }
        let bytes = UnsafeRawBufferPointer(rebasing: bytes.prefix(Int(clamping: left)))
        var start = 0
        while start < bytes.count {
          let written = archive_write_data(archive, bytes.baseAddress?.advanced(by: start), bytes.count - start)
          guard written > 0 else { throw handle.failure("cannot write the archive") }
          start += written
        }
        left -= Int64(bytes.count)
        report.bytes += Int64(bytes.count)
      }
      guard left == 0 else { throw FerryError(.internal, "\(TreePath.escaped(entry.path)) is \(left) bytes short") }
    }
  }

  /// The archive is whole: its end is written.
  public func finish() throws { try handle.plainly { try handle.check(archive_write_close($0), "cannot end the archive") } }

  private func fill(_ pointer: OpaquePointer, _ entry: ArchiveEntry) {
    func text(_ bytes: [UInt8], _ set: (OpaquePointer?, UnsafePointer<CChar>?) -> Void) {
      (bytes + [0]).withUnsafeBytes { set(pointer, $0.baseAddress?.assumingMemoryBound(to: CChar.self)) }
    }
    let types: [EntryKind: UInt32] = [
      .file: S_IFREG, .folder: S_IFDIR, .link: S_IFLNK, .fifo: S_IFIFO, .characterDevice: S_IFCHR, .blockDevice: S_IFBLK, .socket: S_IFSOCK,
    ]
    let metadata = entry.metadata
    text(entry.kind == .folder && entry.path.last != 0x2f ? entry.path + [0x2f] : entry.path, archive_entry_copy_pathname)
    archive_entry_set_mode(pointer, mode_t((types[entry.kind] ?? 0) | metadata.mode & 0o7777))
    archive_entry_set_uid(pointer, Int64(metadata.owner))
    archive_entry_set_gid(pointer, Int64(metadata.group))
    let time = ArchiveTime.parts(metadata.modified)
    archive_entry_set_mtime(pointer, time.seconds, time.nanoseconds)
    if !ArchiveTime.isExact(metadata.modified) {
      report.note("\(TreePath.escaped(entry.path)): the last second before 1970 loses its fraction")
    }
    if let link = entry.hardLink {
      text(link, archive_entry_copy_hardlink)
      return
    }
    for (name, value) in metadata.attributes {
      if !AttributeName.isPlain(name) {
        report.note("\(TreePath.escaped(entry.path)): only Ferry reads the name of the attribute \(TreePath.escaped(name)) back")
      }
      text(name) { pointer, name in value.withUnsafeBytes { archive_entry_xattr_add_entry(pointer, name, $0.baseAddress, $0.count) } }
    }
    switch entry.kind {
    case .file:
      archive_entry_set_size(pointer, entry.size)
      for extent in entry.extents { archive_entry_sparse_add_entry(pointer, extent.lowerBound, Int64(extent.count)) }
    case .link: text(entry.target, archive_entry_copy_symlink)
    case .characterDevice, .blockDevice: archive_entry_set_rdev(pointer, dev_t(entry.device))
    case .folder, .fifo, .socket: break
    }
  }
}
