import FerryArchive
import FerryEngineKit
import Glibc

/// The layer of a container whose engine's files are not within reach: one that was made for it and never started. What was received is stored, once
/// it is whole, in the overlay's own folder, which a helper container mounts. So deletions arrive as what they are there.
///
/// What an opaque folder hides of the image is stored as whiteouts, one by one: engines' archives do not carry that mark both ways.
struct DistantLayer {
  let engine: ContainerEngine
  let container: EngineContainer
  /// What was received is in a folder in this one.
  let copy: String

  /// Whether layers of an engine can be written so.
  static func isPossible(_ engine: ContainerEngine) -> Bool {
    geteuid() == 0 && !engine.info.isRootless && ["overlay", "overlay2"].contains(engine.info.driver)
  }

  static func root(_ copy: String) -> String { "\(copy)/volume" }

  private func folder() throws -> DistantFolder {
    guard let upper = container.layer["UpperDir"] else {
      throw FerryError(
        .unsupported,
        "the layer of \(container.name) is kept by the storage driver '\(container.driver)', of which the engine names no folder",
        hint: "overlay2 (Docker) and overlay (Podman) are known")
    }
    guard !container.isRunning else {
      throw FerryError(.conflict, "the container \(container.name) runs, and its layer is in use", hint: "stop it, and resume")
    }
    return DistantFolder(engine, .folder(upper), copy: copy)
  }

  /// Stores the copy in the layer, which is empty, and reads it back.
  func store(_ options: TreeOptions) throws {
    let hidden = try hidden(options)
    let entries = hidden.map { path in
      ArchiveEntry(
        path: path, kind: .characterDevice,
        metadata: EntryMetadata(mode: 0, owner: 0, group: 0, modified: FileTime(seconds: 0, nanoseconds: 0)))
    }
    let folder = try folder()
    try folder.store(options, more: entries)
    try folder.prove(options, in: "\(copy)-back", more: Set(hidden))
  }

  /// Throws unless the engine has what was stored.
  func prove(_ options: TreeOptions) throws { try folder().prove(options, in: "\(copy)-back", more: Set(hidden(options))) }

  // MARK: What opaque folders hide

  /// Paths of what the image has in folders that were made anew, but for what lies in something that is hidden itself.
  private func hidden(_ options: TreeOptions) throws -> [[UInt8]] {
    let root = try TreeFolder(root: Self.root(copy))
    let opaque = try LayerFolder.entries(of: root, with: [LayerFolder.opaque], options.cancellation)
    if opaque.isEmpty { return [] }
    let copied = try TreeWriter(root: root, form: options.form)
    let reference = try engine.createContainer(
      Helper.name, ["Image": .string(container.image), "Cmd": ["/none"], "HostConfig": ["NetworkMode": "none"]])
    defer { try? engine.removeContainer(reference, andAnonymousVolumes: true) }
    return try opaque.flatMap { folder in
      try names(in: folder, of: reference).map { TreePath.joined(folder, $0) }.filter { path in
        try copied.kind(of: TreePath.parent(of: path)) == .folder && copied.kind(of: path) == nil
      }
    }
  }

  /// The paths below a folder of a container; none if it has no such folder.
  private func names(in folder: [UInt8], of container: String) throws -> [[UInt8]] {
    guard let path = String(validating: folder, as: UTF8.self) else {
      throw FerryError(
        .unsupported, "the layer makes a folder anew whose name is no text, and no engine can be asked for it: \(TreePath.escaped(folder))",
        hint: "run Ferry as root beside the engine")
    }
    // Podman begins all names with a slash, unless it is asked for what is in the folder.
    let (engine, isDocker) = (engine, engine.kind == .docker)
    do {
      return try ContainerEngine.joined({ try engine.archive(container, path: isDocker ? "/\(path)" : "/\(path)/.", to: $0) }) { tar in
        let reader = try ArchiveReader(tar)
        var found: [[UInt8]] = []
        while let entry = try reader.next() {
          let names = try TreeWriter.names(of: entry.path).dropFirst(isDocker ? 1 : 0)
          if !names.isEmpty { found.append(Array(names.joined(separator: [0x2f]))) }
        }
        return found
      }
    } catch let error as FerryError where error.class == .notFound { return [] }
  }
}
