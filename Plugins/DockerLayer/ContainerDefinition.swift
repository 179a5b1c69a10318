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
    host["Mounts"] = .array(
      mounts.compactMap { mount -> JSONValue? in
        // What has no name is made anew by the engine, from the image or from `Volumes`.
        guard mount.type == "bind" || mount.type == "volume" else { return nil }
        let volume = volumes[mount.destination] ?? mount.name
        if mount.type == "volume" {
          guard let volume, volumes[mount.destination] != nil || !EngineVolume(name: volume).isAnonymous else { return nil }
          places[mount.destination] = nil
          return ["Type": "volume", "Source": .string(volume), "Target": .string(mount.destination), "ReadOnly": .bool(!mount.isWritable)]
        }
        guard let source = mount.source else { return nil }
        return ["Type": "bind", "Source": .string(source), "Target": .string(mount.destination), "ReadOnly": .bool(!mount.isWritable)]
      })
    body["Volumes"] = places.isEmpty ? nil : .object(places)
    body["HostConfig"] = host
    return body
  }
}
