import FerryEngineKit

/// How a container was made, as far as another engine can make one like it.
struct ContainerDefinition: Codable, Hashable {
  private var config: JSONValue
  private var host: JSONValue
  private var mounts: [EngineMount]

  /// What a container is told of its program and of its place on the host. Not carried are limits, devices and what names things of one machine.
  private static let configKeys = [
    "User", "ExposedPorts", "Tty", "OpenStdin", "StdinOnce", "Env", "Cmd", "Entrypoint", "Healthcheck", "WorkingDir", "Labels",
    "StopSignal",
    "StopTimeout", "Domainname", "Volumes",
  ]
  private static let hostKeys = [
    "NetworkMode", "PortBindings", "RestartPolicy", "ExtraHosts", "Dns", "DnsSearch", "DnsOptions", "CapAdd", "CapDrop", "GroupAdd",
    "Privileged",
    "ReadonlyRootfs", "SecurityOpt", "Memory", "NanoCpus", "Init", "Tmpfs",
  ]

  init(_ container: EngineContainer) {
    func chosen(_ object: JSONValue?, _ keys: [String]) -> JSONValue {
      .object((object?.object ?? [:]).filter { keys.contains($0.key) && $0.value != .null })
    }
    config = chosen(container.json["Config"], Self.configKeys)
    // Podman writes these into every container by itself.
    let drawn = ["HOSTNAME=\(container.id.prefix(12))", "container=podman"]
    if let variables = config["Env"]?.array { config["Env"] = .array(variables.filter { !drawn.contains($0.string ?? "") }) }
    host = chosen(container.json["HostConfig"], Self.hostKeys)
    mounts = container.mounts
    if host["RestartPolicy"]?["Name"]?.string?.isEmpty == true { host["RestartPolicy"] = nil }
  }

  /// What an engine is told to make it from an image. `volumes` says which volume goes to a mount point; others keep theirs.
  func body(image: String, volumes: [String: String]) -> JSONValue {
    var body = config
    var host = host
    body["Image"] = .string(image)
    var places = body["Volumes"]?.object ?? [:]
    var (described, lines): ([JSONValue], [JSONValue]) = ([], [])
    for mount in mounts {
      // What has no name is made anew by the engine, from the image or from `Volumes`.
      guard let source = mount.type == "bind" ? mount.source : mount.type == "volume" ? volume(of: mount, volumes) : nil else { continue }
      if mount.type == "volume" { places[mount.destination] = nil }
      if mount.relabelling != nil {
        lines.append(.string(mount.line(source)))
      } else {
        described.append(
          [
            "Type": .string(mount.type), "Source": .string(source), "Target": .string(mount.destination),
            "ReadOnly": .bool(!mount.isWritable),
          ])
      }
    }
    host["Mounts"] = .array(described)
    if !lines.isEmpty { host["Binds"] = .array(lines) }
    body["Volumes"] = places.isEmpty ? nil : .object(places)
    body["HostConfig"] = host
    return body
  }

  private func volume(of mount: EngineMount, _ volumes: [String: String]) -> String? {
    if let given = volumes[mount.destination] { return given }
    return mount.name.flatMap { EngineVolume(name: $0).isAnonymous ? nil : $0 }
  }
}
