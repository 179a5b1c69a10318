import FerryEngineKit

/// Which volumes of the source the item is about.
struct VolumeSelection {
  let provider: VolumeProvider
  private var endpoint: VolumeConfig.Endpoint { provider.config.endpoint }

  /// All of them, as they are now: by the order of the manifest, of their names or of their mount points.
  func resolve() throws -> [MovedVolume] {
    let engine = try provider.engine()
    if let given = endpoint.given {
      return try given.map { name in
        guard let volume = try engine.volume(name) else { throw provider.missing("volume", name, "volume ls") }
        return MovedVolume(volume: volume, mounts: [])
      }
    }
    if let label = endpoint.label {
      let volumes = try engine.volumes(label: label)
      if volumes.isEmpty {
        throw FerryError(
          .notFound, "\(engine.kind.title) has no volume with the label \(label)",
          hint: "\(engine.kind.rawValue) volume ls --filter label=\(label)")
      }
      return volumes.map { MovedVolume(volume: $0, mounts: []) }
    }
    guard let name = endpoint.volumesFrom else { throw FerryError(.invalid, "the item names no volume") }
    var found: [MovedVolume] = []
    for mount in try provider.container(name).mounts where mount.type == "volume" {
      guard let volumeName = mount.name else { continue }
      if let index = found.firstIndex(where: { $0.volume.name == volumeName }) {
        found[index].mounts.append(mount)
      } else if let volume = try engine.volume(volumeName) {
        found.append(MovedVolume(volume: volume, mounts: [mount]))
      } else {
        throw provider.missing("volume", volumeName, "volume ls")
      }
    }
    if found.isEmpty {
      throw FerryError(
        .precondition, "the container \(name) has no volumes", hint: "bind mounts are folders: move them with `provider: tree`")
    }
    return found
  }
}
