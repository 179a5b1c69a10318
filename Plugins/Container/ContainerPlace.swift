import FerryEngineKit

/// Whether a container finds at the destination what it is made upon. Looked at before anything is made.
struct ContainerPlace {
  let engine: ContainerEngine
  let run: String
  let name: String

  func check(_ definition: ContainerDefinition) throws {
    for mount in definition.mounts {
      if mount.type == "volume" { try checkVolume(mount) } else if mount.type == "bind" { try checkFolder(mount) }
    }
    try checkPorts(definition)
    if let pod = definition.pod, try engine.pod(pod) == nil {
      throw FerryError(
        .precondition, "there is no pod \(pod), which the container \(name) belongs to",
        hint: "move it with `provider: podman-pod` and name that item in `after`, or make it")
    }
  }

  /// One that is not there would be made empty, and nobody would notice.
  private func checkVolume(_ mount: ContainerMount) throws {
    guard try engine.volume(mount.source) == nil else { return }
    throw FerryError(
      .precondition, "there is no volume \(mount.source), which is mounted at \(mount.target)",
      hint: "move it with `provider: \(engine.kind.rawValue)-volume` and name that item in `after`, or make it")
  }

  /// A folder that another item of the run is about to put there counts.
  private func checkFolder(_ mount: ContainerMount) throws {
    guard engine.sharesFiles, !Files.exists(mount.source) else { return }
    let staged = StagedFolder(path: mount.source, run: run, memory: .init(get: { nil }, put: { _ in }))
    guard !Files.exists(staged.holder) else { return }
    throw FerryError(
      .precondition, "there is no \(mount.source), which is mounted at \(mount.target)",
      hint: "move it with `provider: tree` and name that item in `after`, make it, or name another place with `to.mounts`")
  }

  private func checkPorts(_ definition: ContainerDefinition) throws {
    let wanted = (definition.settings["HostConfig"]?["PortBindings"]?.object ?? [:]).values.flatMap { bindings in
      (bindings.array ?? []).compactMap { $0["HostPort"]?.string }.filter { !$0.isEmpty && $0 != "0" }
    }
    guard !wanted.isEmpty else { return }
    let taken = try engine.publishedPorts()
    for port in wanted.sorted() {
      guard let owner = taken[port], owner != name else { continue }
      throw FerryError(
        .conflict, "the port \(port) is published by the container \(owner)", hint: "stop that one, or choose another port with `to.ports`")
    }
  }
}
