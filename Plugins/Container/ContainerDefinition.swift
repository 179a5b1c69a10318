import FerryEngineKit

/// How a container was made, as far as another engine can make one like it.
struct ContainerDefinition: Codable, Hashable {
  /// `Config` and `HostConfig`: what is carried as it is, without what nobody has set.
  var settings: JSONValue
  var mounts: [ContainerMount]
  /// The networks that are not the engine's own.
  var endpoints: [ContainerEndpoint]
  /// The Podman pod that it belongs to.
  var pod: String?
  /// Of `HostConfig`: what the engine takes and does not show. No part of what is compared.
  var unseen: [String: JSONValue] = [:]

  /// `names` answers the name of a container by its id.
  init(
    _ container: EngineContainer, _ kind: EngineKind, image: JSONValue?, names: (String) throws -> String?, without: [String] = []
  ) throws {
    let json = container.json
    settings = ["Config": [:], "HostConfig": [:]]
    for finding in ContainerProperty.findings(in: json) where finding.carriage == .carried && !without.contains(finding.path) {
      let parts = finding.path.split(separator: ".").map(String.init)
      if finding.value != .null { settings[parts[0]]?[parts[1]] = finding.value }
    }
    mounts = try ContainerMount.all(of: container)
    endpoints = ContainerEndpoint.all(of: container)
    for key in ["NetworkMode", "IpcMode", "PidMode"] {
      guard let mode = json["HostConfig"]?[key]?.string, !mode.isEmpty else { continue }
      settings["HostConfig"]?[key] = .string(try Self.named(mode, names, endpoints))
    }
    simplify(container, kind, image)
  }

  /// `container:ID` and a network's id by their names.
  private static func named(_ mode: String, _ names: (String) throws -> String?, _ endpoints: [ContainerEndpoint]) throws -> String {
    if mode.hasPrefix(otherContainer), let name = try names(String(mode.dropFirst(otherContainer.count))) { return otherContainer + name }
    return endpoints.first { $0.id == mode }?.network ?? mode
  }
  static let otherContainer = "container:"

  private mutating func simplify(_ container: EngineContainer, _ kind: EngineKind, _ image: JSONValue?) {
    var config = settings["Config"] ?? [:]
    var host = settings["HostConfig"] ?? [:]
    let shown = config["Hostname"]?.string ?? ""
    // Drawn by the engine, not chosen.
    if config["Hostname"]?.string == String(container.id.prefix(12)) { config["Hostname"] = nil }
    let mode = host["NetworkMode"]?.string ?? ""
    if mode == "host" || mode.hasPrefix(Self.otherContainer) { (config["Hostname"], config["Domainname"]) = (nil, nil) }
    if let variables = config["Env"]?.array?.compactMap(\.string) {
      // Podman writes these into every container by itself.
      let drawn = kind == .podman ? ["HOSTNAME=\(container.id.prefix(12))", "HOSTNAME=\(shown)", "container=podman"] : []
      config["Env"] = .array(variables.filter { !drawn.contains($0) }.sorted().map { .string($0) })
    }
    if let limits = host["Ulimits"]?.array {
      host["Ulimits"] = .array(
        limits.map { limit in
          var limit = limit
          // RLIMIT_NOFILE is what Podman shows, and nofile what both take.
          let name = limit["Name"]?.string ?? ""
          limit["Name"] = .string((name.hasPrefix("RLIMIT_") ? String(name.dropFirst(7)) : name).lowercased())
          return limit
        }.sorted { $0.text < $1.text })
    }
    if ["", "no"].contains(host["RestartPolicy"]?["Name"]?.string ?? "") { host["RestartPolicy"] = nil }
    // An entry point that was taken away must be taken away again; without a word the image's would come back.
    if config["Entrypoint"]?.isNothing != false, image?["Config"]?["Entrypoint"]?.isNothing == false { config["Entrypoint"] = [""] }
    settings["Config"] = Self.without(nothing: config, but: ["StopTimeout", "Entrypoint"])
    settings["HostConfig"] = Self.without(nothing: host, but: kind == .docker ? ["MemorySwappiness", "Init", "OomKillDisable"] : [])
  }

  private static func without(nothing value: JSONValue, but kept: Set<String>) -> JSONValue {
    .object(
      (value.object ?? [:]).filter { key, value in
        // The ports are names of nothing.
        !value.isNothing || kept.contains(key) && value != .null || key == "ExposedPorts" && value.object?.isEmpty == false
      })
  }

  /// The restart policy, which is `no` while a service is held.
  var restartPolicy: JSONValue? {
    get { settings["HostConfig"]?["RestartPolicy"] }
    set { settings["HostConfig"]?["RestartPolicy"] = newValue }
  }

  /// The same in the destination's words.
  func mapped(_ mapping: ContainerMapping) -> ContainerDefinition {
    var definition = self
    definition.pod = pod.map { mapping.pod ?? $0 }
    definition.mounts = mounts.map { $0.mapped(mapping) }
    definition.endpoints = endpoints.map { $0.mapped(mapping) }
    if let mode = settings["HostConfig"]?["NetworkMode"]?.string, let name = mapping.networks[mode] {
      definition.settings["HostConfig"]?["NetworkMode"] = .string(name)
    }
    if !mapping.ports.isEmpty, let bindings = settings["HostConfig"]?["PortBindings"]?.object {
      definition.settings["HostConfig"]?["PortBindings"] = .object(
        bindings.mapValues { hosts in
          // Podman lists what is exposed as well, published as nothing.
          guard let hosts = hosts.array else { return .null }
          return .array(
            hosts.map { binding in
              var binding = binding
              if let port = binding["HostPort"]?.string, let other = mapping.ports[port] { binding["HostPort"] = .string(other) }
              return binding
            })
        })
    }
    return definition
  }

  /// What an engine is told to make it from an image. `found` answers the id of another container by its name.
  func body(image: String, found: (String) throws -> String) throws -> JSONValue {
    var body = settings["Config"] ?? [:]
    var host = settings["HostConfig"] ?? [:]
    for (key, value) in unseen { host[key] = value }
    body["Image"] = .string(image)
    let plain = mounts.filter { $0.detail == nil }
    if !plain.isEmpty { host["Binds"] = .array(plain.map { .string($0.line) }) }
    let special = mounts.compactMap(\.detail)
    if !special.isEmpty { host["Mounts"] = .array(special) }
    for key in ["NetworkMode", "IpcMode", "PidMode"] {
      guard let mode = host[key]?.string, mode.hasPrefix(Self.otherContainer) else { continue }
      host[key] = .string(Self.otherContainer + (try found(String(mode.dropFirst(Self.otherContainer.count)))))
    }
    body["HostConfig"] = host
    // Engines before API 1.44 take one network here; the others are connected afterwards.
    if let first { body["NetworkingConfig"] = ["EndpointsConfig": .object([first.network: first.body])] }
    return body
  }

  /// The network that it is made with.
  var first: ContainerEndpoint? {
    let mode = settings["HostConfig"]?["NetworkMode"]?.string
    return endpoints.first { $0.network == mode } ?? endpoints.first
  }

  /// One line a setting, sorted: what both ends digest.
  var lines: [(path: String, value: String)] {
    var lines: [(String, String)] = []
    if let pod { lines.append(("Pod", pod)) }
    for part in ["Config", "HostConfig", "Podman"] {
      for (name, value) in settings[part]?.object ?? [:] { lines.append(("\(part).\(name)", value.sortedWhereOrderMeansNothing.text)) }
    }
    for mount in mounts { lines.append(("Mounts.\(mount.target)", (try? JSONValue(encoding: mount).text) ?? "")) }
    for endpoint in endpoints { lines.append(("Networks.\(endpoint.network)", endpoint.body.text)) }
    return lines.sorted { $0.0 < $1.0 }
  }
}

extension JSONValue {
  /// Engines do not keep the order of capabilities, groups and the like; a command keeps its own through quotes of its words.
  fileprivate var sortedWhereOrderMeansNothing: JSONValue {
    guard let elements = array, elements.allSatisfy({ $0.string?.hasPrefix("CAP_") == true }) else { return self }
    return .array(elements.sorted { $0.text < $1.text })
  }
}
