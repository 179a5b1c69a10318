import FerrySystem
import FerryTree
import Glibc

/// Whole trees as archives.
public enum TreeArchive {
  /// Writes a tree to a descriptor.
  public static func pack(_ root: TreeFolder, to target: Int32, options: TreeOptions = TreeOptions(), isTolerant: Bool = false) throws
    -> ArchiveReport
  {
    let writer = try ArchiveWriter(target, options: options, isTolerant: isTolerant)
    try writer.add(root)
    try writer.finish()
    return writer.report
  }

  /// Applies an archive to a folder: nothing of it lands elsewhere, whatever it says. What is there already stays, unless an entry takes
  /// its name. With `whiteouts` names with `.wh.` in front remove what is there, as in layers of containers; without, they are names.
  public static func unpack(
    from source: Int32, into root: TreeFolder, options: TreeOptions = TreeOptions(), whiteouts: Bool = false
  ) throws -> ArchiveReport {
    let reader = try ArchiveReader(source, limits: options.limits)
    let unpacking = try Unpacking(reader, root, options, whiteouts: whiteouts)
    while let entry = try reader.next() {
      if let cancellation = options.cancellation, cancellation.isCancelled { throw FerryError(.cancelled, "unpacking was cancelled") }
      try unpacking.apply(entry)
      options.progress?(unpacking.report.bytes, unpacking.report.entries)
    }
    try unpacking.writer.finish()
    return unpacking.report
  }
}

private final class Unpacking {
  let writer: TreeWriter
  var report = ArchiveReport()
  private let reader: ArchiveReader
  private let whiteouts: Bool
  /// What this archive wrote: a whiteout is of what was there before.
  private var written: Set<[UInt8]> = []

  init(_ reader: ArchiveReader, _ root: TreeFolder, _ options: TreeOptions, whiteouts: Bool) throws {
    self.reader = reader
    self.whiteouts = whiteouts
    writer = try TreeWriter(root: root, form: options.form, owners: options.owners, limits: options.limits)
  }

  func apply(_ entry: ArchiveEntry) throws {
    report.entries += 1
    let names = try TreeWriter.names(of: entry.path)
    if whiteouts, try applyWhiteout(names) { return }
    if let target = entry.hardLink {
      try writer.makeHardLink(entry.path, to: target)
    } else {
      switch entry.kind {
      case .folder: try writer.makeFolder(entry.path, entry.metadata)
      case .file: try makeFile(entry)
      case .link: try writer.makeLink(entry.path, target: entry.target, entry.metadata)
      case .fifo, .socket, .characterDevice, .blockDevice:
        try writer.makeNode(entry.path, entry.kind, device: entry.device, entry.metadata)
      }
    }
    guard whiteouts else { return }
    // With the folders above it: a whiteout of one of these keeps what is new in it.
    for count in stride(from: names.count, to: 0, by: -1) {
      guard written.insert(Array(names.prefix(count).joined(separator: [0x2f]))).inserted else { break }
    }
  }

  private func makeFile(_ entry: ArchiveEntry) throws {
    let file = try writer.makeFile(entry.path, size: entry.size)
    var bytes: Int64 = 0
    try reader.content { piece, offset in
      try file.write(piece, at: offset)
      bytes += Int64(piece.count)
    }
    try writer.keep(file, entry.metadata)
    report.bytes += bytes
  }

  private func applyWhiteout(_ names: [[UInt8]]) throws -> Bool {
    guard let name = names.last, name.starts(with: Whiteout.prefix) else { return false }
    let folder = Array(names.dropLast().joined(separator: [0x2f]))
    if name == Whiteout.opaque {
      for name in try writer.names(in: folder) { try removeOld(TreePath.joined(folder, name)) }
      return true
    }
    // Others that begin so are a storage driver's own.
    if name.starts(with: Whiteout.prefix + Whiteout.prefix) { return true }
    let target = Array(name.dropFirst(Whiteout.prefix.count))
    guard !target.isEmpty, target != [0x2e], target != [0x2e, 0x2e] else {
      throw FerryError(.invalid, "\(TreePath.escaped(TreePath.joined(folder, name))) is refused: it removes nothing", code: "refused-entry")
    }
    try removeOld(TreePath.joined(folder, target))
    return true
  }

  /// Removes what was there before this archive, and keeps what it brought.
  private func removeOld(_ path: [UInt8]) throws {
    guard written.contains(path) else { return try writer.remove(path) }
    guard try writer.kind(of: path) == .folder else { return }
    for name in try writer.names(in: path) { try removeOld(TreePath.joined(path, name)) }
  }
}
