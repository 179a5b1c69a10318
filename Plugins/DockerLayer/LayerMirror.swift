import FerryArchive
import FerryEngineKit

/// The layer of a container at the source whose folder is not within reach, or is not an overlay's, or points into the image: built anew, in an
/// overlay's form, from the engine's list of changes and its export of the whole file system. Neither needs a program in the container, and what is
/// mounted into it is in neither.
struct LayerMirror {
  let engine: ContainerEngine
  let container: String
  /// Where it is built.
  let folder: String

  static let losses = "fractions of seconds, ACLs, most extended attributes and sockets are lost on the way"

  func fetch(_ options: TreeOptions) throws {
    var deleted: Set<[UInt8]> = []
    var changed: Set<[UInt8]> = [[]]
    for change in try engine.changes(of: container) {
      // An engine's list is JSON, in which bytes that are no text are lost.
      guard !change.path.unicodeScalars.contains("\u{fffd}") else {
        throw FerryError(
          .unsupported, "the layer holds a name that is no text, and the engine does not say which: \(change.path)",
          hint: "rename it in the container")
      }
      let path = Array(change.path.utf8.drop { $0 == 0x2f })
      if change.kind == 2 { deleted.insert(path) } else { changed.insert(path) }
    }
    // The root is in no export.
    let root = try engine.metadata(of: "/", in: container)
    try TreeRemoval.remove(folder)
    try Files.makeFolder(folder)
    let build = try Build(folder, deleted, changed, options)
    let (engine, container) = (engine, container)
    try ContainerEngine.joined({ try engine.export(container, to: $0) }) { try build.read($0) }
    try build.addLate { path, body in
      let name = "/" + String(decoding: path, as: UTF8.self)
      try ContainerEngine.joined({ try engine.archive(container, path: name, to: $0) }) { tar in
        let reader = try ArchiveReader(tar, limits: options.limits)
        guard let entry = try reader.next() else { throw FerryError(.peer, "the engine's archive of \(name) is empty") }
        try body(entry, reader)
        while try reader.next() != nil {}
      }
    }
    try build.finish(root)
  }

  /// One layer in the making.
  private final class Build {
    let deleted: Set<[UInt8]>
    let changed: Set<[UInt8]>
    let options: TreeOptions
    let writer: TreeWriter
    /// What the export holds of it, with its time.
    private var seen: [[UInt8]: FileTime] = [:]
    private var written: Set<[UInt8]> = []
    /// All folders of the container, changed or not.
    private var folders: [[UInt8]: EntryMetadata] = [:]
    /// Names of files of which another name, one that did not change, came first.
    private var late: [(path: [UInt8], target: [UInt8])] = []

    init(_ folder: String, _ deleted: Set<[UInt8]>, _ changed: Set<[UInt8]>, _ options: TreeOptions) throws {
      (self.deleted, self.changed, self.options) = (deleted, changed, options)
      writer = try TreeWriter(root: TreeFolder(root: folder), form: options.form, owners: options.owners, limits: options.limits)
    }

    func read(_ tar: Int32) throws {
      let reader = try ArchiveReader(tar, limits: options.limits)
      while let entry = try reader.next() {
        if let cancellation = options.cancellation, cancellation.isCancelled {
          throw FerryError(.cancelled, "building the layer was cancelled")
        }
        let path = try Self.plain(entry.path)
        let target = try entry.hardLink.map { try Self.plain($0) }
        if target == nil, entry.kind == .folder { folders[path] = entry.metadata }
        let isListed = changed.contains(path) || deleted.contains(path)
        if isListed { seen[path] = entry.metadata.modified }
        if let target {
          // A new name of a file of the image makes the old one part of the layer: the two stay one file.
          if written.contains(target) { try link(path, to: target) } else if isListed { late.append((path, target)) }
        } else if isListed {
          try write(entry, path, reader)
        }
        options.progress?(0, Int64(seen.count))
      }
    }

    private static func plain(_ path: [UInt8]) throws -> [UInt8] {
      Array(try TreeWriter.names(of: path).joined(separator: [0x2f]))
    }

    private func link(_ path: [UInt8], to target: [UInt8]) throws {
      try makeFolders(above: path)
      try writer.makeHardLink(path, to: target)
      written.insert(path)
    }

    /// The folders that lead to what is not listed: as they are in the image.
    private func makeFolders(above path: [UInt8]) throws {
      let folder = TreePath.parent(of: path)
      guard !folder.isEmpty, !written.contains(folder), let metadata = folders[folder] else { return }
      try makeFolders(above: folder)
      try writer.makeFolder(folder, metadata)
      written.insert(folder)
    }

    func addLate(_ fetch: ([UInt8], (ArchiveEntry, ArchiveReader) throws -> Void) throws -> Void) throws {
      for (path, target) in late {
        if written.contains(target) {
          try link(path, to: target)
        } else {
          try fetch(path) { entry, reader in try write(entry, path, reader) }
          try link(target, to: path)
        }
      }
    }

    private func write(_ entry: ArchiveEntry, _ path: [UInt8], _ reader: ArchiveReader) throws {
      written.insert(path)
      switch entry.kind {
      case .folder:
        var metadata = entry.metadata
        // What was deleted and is there again was made anew: nothing in it of the image shows.
        if deleted.contains(path) { metadata.attributes.append((LayerFolder.opaque, [0x79])) }
        try writer.makeFolder(path, metadata)
      case .link: try writer.makeLink(path, target: entry.target, entry.metadata)
      case .file:
        let file = try writer.makeFile(path, size: entry.size)
        try reader.content { bytes, offset in try file.write(bytes, at: offset) }
        try writer.keep(file, entry.metadata)
      case .fifo, .socket, .characterDevice, .blockDevice:
        try writer.makeNode(path, entry.kind, device: entry.device, entry.metadata)
      }
    }

    func finish(_ root: EntryMetadata) throws {
      for path in deleted.sorted(by: TreePath.precedes) where seen[path] == nil {
        // In a folder that is gone itself there is nothing more to say. The time is the folder's, which its deletion has changed.
        guard let time = seen[TreePath.parent(of: path)] else { continue }
        try writer.makeNode(path, .characterDevice, device: 0, EntryMetadata(mode: 0, owner: 0, group: 0, modified: time))
      }
      try writer.makeFolder([], root)
      try writer.finish()
    }
  }
}
