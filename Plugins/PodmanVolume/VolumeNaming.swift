import FerryEngineKit

/// What volumes are called at the destination.
struct VolumeNaming {
  let endpoint: VolumeConfig.Endpoint

  /// The names, in the list's order.
  func names(_ list: VolumeWire.List) throws -> [String] {
    let given = endpoint.given
    if let given, given.count != list.volumes.count {
      throw FerryError(
        .invalid, "`to` names \(given.count) volumes and the source has \(list.volumes.count)",
        hint: "name as many as `from` does, or use `names` or `prefixes`")
    }
    let names = try list.volumes.enumerated().map { index, moved in try given?[index] ?? name(moved, list.container) }
    for (index, name) in names.enumerated() where names.firstIndex(of: name) != index {
      throw FerryError(
        .invalid, "two volumes would be called \(name) at the destination", hint: "give one of them another name with `to.names`")
    }
    return names
  }

  private func name(_ moved: MovedVolume, _ container: String?) throws -> String {
    let volume = moved.volume
    for key in [volume.name] + moved.mounts.map(\.destination) { if let name = endpoint.names?[key] { return name } }
    if volume.isAnonymous, let place = moved.mounts.first?.destination, let container = endpoint.volumesFrom ?? container {
      return EngineVolume.name(of: container, at: place)
    }
    // The longest beginning that fits is the most precise.
    let beginnings = (endpoint.prefixes ?? [:]).filter { volume.name.hasPrefix($0.key) }
    if let (old, new) = beginnings.max(by: { $0.key.utf8.count < $1.key.utf8.count }) { return new + volume.name.dropFirst(old.count) }
    return volume.name
  }
}
