import CLinux
import FerrySystem
import FerryTree
import Glibc

/// Names that stand for what is not there, in layers of containers.
public enum Whiteout {
  /// Stands before the name of what was removed.
  public static let prefix = Array(".wh.".utf8)
  /// In a folder: what lower layers have in it does not show.
  public static let opaque = Array(".wh..wh..opq".utf8)
}

extension ArchiveWriter {
  /// Writes a tree, or what the options include of it. The root is the entry `.`.
  public func add(_ root: TreeFolder) throws { try TreeWalk.run(root, ArchiveWalk(self)) }

  /// Writes one entry of a folder under a path in the archive; nothing below it.
  public func add(_ folder: TreeFolder, _ entry: TreeEntry, path: [UInt8]) throws {
    guard options.form.holds(entry) else { return report.note("\(TreePath.escaped(path)): no device files") }
    guard entry.kind != .socket else { return report.note("\(TreePath.escaped(path)): an archive holds no sockets") }
    if let first = shared[entry.identity], options.form.joins(entry) {
      var link = ArchiveEntry(path: path, kind: entry.kind, metadata: try metadata(entry, []))
      link.hardLink = first
      return try write(link)
    }
    let attributes = options.form.attributes == .none && !options.form.accessControl ? [] : try ExtendedAttributes.read(folder, entry.name)
    var written = ArchiveEntry(path: path, kind: entry.kind, metadata: try metadata(entry, attributes))
    switch entry.kind {
    case .file: try addFile(folder, entry, written)
    case .link:
      written.target = try folder.target(of: entry.name, size: entry.size)
      try write(written)
    default:
      written.device = entry.deviceNumber
      try write(written)
    }
    if entry.isShared { shared[entry.identity] = path }
  }

  /// Says that a path is not there any more.
  public func addWhiteout(_ path: [UInt8]) throws {
    let parts = try TreeWriter.names(of: path)
    guard let name = parts.last else { throw FerryError(.internal, "the root cannot be removed") }
    try addMark(TreePath.joined(Array(parts.dropLast().joined(separator: [0x2f])), Whiteout.prefix + name))
  }

  /// Says that nothing that a folder held before is there any more.
  public func addOpaque(_ path: [UInt8]) throws { try addMark(TreePath.joined(path, Whiteout.opaque)) }

  private func addMark(_ path: [UInt8]) throws {
    try write(
      ArchiveEntry(
        path: path, kind: .file, metadata: EntryMetadata(mode: 0, owner: 0, group: 0, modified: FileTime(seconds: 0, nanoseconds: 0))))
  }

  private func metadata(_ entry: TreeEntry, _ attributes: [(name: [UInt8], value: [UInt8])]) throws -> EntryMetadata {
    var (owner, group) = (entry.owner, entry.group)
    if let owners = options.owners {
      guard let user = owners.inStream(user: owner), let team = owners.inStream(group: group) else {
        throw FerryError(.unsupported, "the owner \(owner):\(group) is outside of the id map of this end")
      }
      (owner, group) = (user, team)
    }
    return EntryMetadata(
      mode: entry.mode, owner: owner, group: group, modified: entry.modified,
      attributes: try EntryMetadata.inStream(attributes, options.form, options.owners))
  }

  private func addFile(_ folder: TreeFolder, _ entry: TreeEntry, _ header: ArchiveEntry) throws {
    let file = try folder.open(entry.name, O_RDONLY | O_NONBLOCK)
    var status = stat()
    guard fstat(file.number, &status) == 0, let now = TreeEntry(name: entry.name, status: status), now.kind == .file else {
      throw folder.failure(errno, "cannot read", entry.name)
    }
    var header = header
    header.size = now.size
    header.metadata.modified = now.modified
    header.extents = Extents.of(file, now.size)
    let path = header.path
    try write(header) { [self] put in
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 4096)
      defer { buffer.deallocate() }
      var (offset, isShort) = (Int64(0), false)
      let spans = header.extents.isEmpty ? [0..<now.size] : header.extents
      for span in spans {
        try Self.zeros(span.lowerBound - offset, put)
        offset = span.lowerBound
        while offset < span.upperBound {
          let count = pread(file.number, buffer.baseAddress, Int(min(Int64(buffer.count), span.upperBound - offset)), Int(offset))
          if count < 0, errno == EINTR { continue }
          guard count >= 0 else { throw folder.failure(errno, "cannot read", entry.name) }
          if count == 0 {
            isShort = true
            try Self.zeros(span.upperBound - offset, put)
            offset = span.upperBound
          } else {
            try put(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            offset += Int64(count)
          }
          if let cancellation = options.cancellation, cancellation.isCancelled { throw FerryError(.cancelled, "packing was cancelled") }
        }
      }
      try Self.zeros(now.size - offset, put)
      if isShort {
        guard isTolerant else { throw FerryError(.io, "\(folder.shown(entry.name)) became shorter while it was read") }
        report.note("\(TreePath.escaped(path)): became shorter while it was read")
      }
    }
  }

  private static let zeroes = [UInt8](repeating: 0, count: 1 << 20)

  private static func zeros(_ count: Int64, _ put: (UnsafeRawBufferPointer) throws -> Void) throws {
    var left = count
    while left > 0 {
      let piece = Int(min(left, Int64(zeroes.count)))
      try zeroes.withUnsafeBytes { try put(UnsafeRawBufferPointer(rebasing: $0[..<piece])) }
      left -= Int64(piece)
    }
  }
}

/// Where a file has data rather than holes.
enum Extents {
  /// Empty for a file without holes, or where that cannot be told.
  static func of(_ file: Descriptor, _ size: Int64) -> [Range<Int64>] {
    var (found, offset) = ([Range<Int64>](), Int64(0))
    while offset < size {
      let start = clinux_seek_data(file.number, offset)
      if start == -Int64(ENXIO) { break }
      guard start >= offset else { return [] }
      let end = clinux_seek_hole(file.number, start)
      guard end > start else { return [] }
      found.append(start..<min(end, size))
      offset = end
    }
    if found == [0..<size] { return [] }
    // All hole: one that ends the file, so that its size is known.
    return found.isEmpty && size > 0 ? [size - 1..<size] : found
  }
}

private final class ArchiveWalk: TreeVisitor {
  private let writer: ArchiveWriter
  private var device: UInt64?

  init(_ writer: ArchiveWriter) { self.writer = writer }

  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
    if let cancellation = writer.options.cancellation, cancellation.isCancelled { throw FerryError(.cancelled, "packing was cancelled") }
    if device == nil { try writer.add(folder, entry, path: [0x2e]) }
    if writer.options.oneFileSystem, device ?? entry.identity.device != entry.identity.device { entries = [] }
    device = device ?? entry.identity.device
    if let selection = writer.options.selection {
      entries.removeAll { !selection.contains(TreePath.joined(folder.path, $0.name), $0.kind) }
    }
  }

  func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) throws {
    let path = TreePath.joined(folder.path, entry.name)
    do { try writer.add(folder, entry, path: path) } catch let error as FerryError
      where error.class == .notFound || error.class == .precondition
    {
      try failed(error, path: path)
    }
    writer.options.progress?(writer.report.bytes, writer.report.entries)
  }

  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) {}

  func failed(_ error: FerryError, path: [UInt8]) throws {
    guard writer.isTolerant, error.class != .cancelled else { throw error }
    writer.report.note("\(TreePath.escaped(path)): \(error.message)")
  }
}
