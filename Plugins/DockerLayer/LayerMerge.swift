import FerryEngineKit

/// Puts a layer upon a file system that it belongs on, as an overlay shows the two: additions replace what was there, deletions take it away, and what
/// lies in a folder that was made anew is all that is in it. Upon nothing it is a plain copy; contents are shared where the file system can.
final class LayerMerge: TreeVisitor {
  private let writer: TreeWriter
  private let options: TreeOptions
  /// The first names of files that have several.
  private var shared: [FileIdentity: [UInt8]] = [:]
  private var count: Int64 = 0

  /// Owners and attributes stay what they are on the disk, but for marks.
  static func run(_ layer: String, upon folder: String, _ options: TreeOptions) throws {
    let writer = try TreeWriter(root: TreeFolder(root: folder), form: options.form, limits: options.limits)
    try TreeWalk.run(TreeFolder(root: layer), LayerMerge(writer, options))
    try writer.finish()
  }

  private init(_ writer: TreeWriter, _ options: TreeOptions) { (self.writer, self.options) = (writer, options) }

  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
    if options.cancellation?.isCancelled == true { throw FerryError(.cancelled, "putting the layer upon its image was cancelled") }
    var metadata = try metadata(folder, [], entry)
    let isOpaque = metadata.attributes.contains { $0.name == LayerFolder.opaque }
    metadata.attributes.removeAll { LayerOwners.unmarked.inStream(attribute: $0.name) == nil }
    try writer.makeFolder(folder.path, metadata)
    if isOpaque { for name in try writer.names(in: folder.path) { try writer.remove(TreePath.joined(folder.path, name)) } }
  }

  func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) throws {
    count += 1
    options.progress?(0, count)
    let path = TreePath.joined(folder.path, entry.name)
    if LayerFolder.isDeletion(entry) { return try writer.remove(path) }
    if let first = shared[entry.identity] { return try writer.makeHardLink(path, to: first) }
    if entry.isShared { shared[entry.identity] = path }
    let metadata = try metadata(folder, entry.name, entry)
    switch entry.kind {
    // Made when it is entered.
    case .folder: return
    case .file:
      let file = try writer.makeFile(path, size: entry.size)
      try file.copy(folder.open(entry.name, 0))
      try writer.keep(file, metadata)
    case .link: try writer.makeLink(path, target: folder.target(of: entry.name, size: entry.size), metadata)
    case .fifo, .socket, .characterDevice, .blockDevice:
      try writer.makeNode(path, entry.kind, device: entry.deviceNumber, metadata)
    }
  }

  private func metadata(_ folder: TreeFolder, _ name: [UInt8], _ entry: TreeEntry) throws -> EntryMetadata {
    EntryMetadata(
      mode: entry.mode, owner: entry.owner, group: entry.group, modified: entry.modified,
      attributes: try ExtendedAttributes.read(folder, name))
  }

  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) {}
  func failed(_ error: FerryError, path: [UInt8]) throws { throw error }
}
