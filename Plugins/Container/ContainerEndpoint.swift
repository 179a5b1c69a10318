import FerryEngineKit

/// A container's place in a network that somebody made.
struct ContainerEndpoint: Codable, Hashable {
  var network: String
  /// The network's id at this engine; no part of what is compared.
  var id: String
  /// Names that others call the container by.
  var aliases: [String]
  /// Addresses that were asked for, and options of the network's driver.
  var options: JSONValue

  /// Networks that every engine has. Nothing about them is to be told.
  private static let own: Set<String> = ["bridge", "host", "none", "podman", "default"]

  static func all(of container: EngineContainer) -> [ContainerEndpoint] {
    let networks = container.json["NetworkSettings"]?["Networks"]?.object ?? [:]
    return networks.filter { !own.contains($0.key) }.sorted { $0.key < $1.key }.map { name, value in
      let drawn = String(container.id.prefix(12))
      var options: JSONValue = [:]
      for key in ["IPAMConfig", "DriverOpts"] where value[key]?.isNothing == false { options[key] = value[key] }
      return ContainerEndpoint(
        network: name, id: value["NetworkID"]?.string ?? "",
        aliases: Set(value["Aliases"]?.array?.compactMap(\.string) ?? []).filter { $0 != drawn }.sorted(), options: options)
    }
  }

  /// Whether it asks for an address of its own, which only the same subnet has.
  var isFixed: Bool { options["IPAMConfig"]?.isNothing == false }

  func mapped(_ mapping: ContainerMapping) -> ContainerEndpoint {
    var endpoint = self
    endpoint.network = mapping.networks[network] ?? network
    return endpoint
  }

  /// As Podman's own API takes it.
  var podmanOptions: JSONValue {
    let addresses = ["IPv4Address", "IPv6Address"].compactMap { options["IPAMConfig"]?[$0] }.filter { !$0.isNothing }
    var body: JSONValue = [:]
    if !addresses.isEmpty { body["static_ips"] = .array(addresses) }
    if !aliases.isEmpty { body["aliases"] = .array(aliases.map { .string($0) }) }
    return body
  }

  /// As engines take it.
  var body: JSONValue {
    var body = options
    if !aliases.isEmpty { body["Aliases"] = .array(aliases.map { .string($0) }) }
    return body
  }
}

/// A network as its engine shows it, as far as another engine can make one like it.
struct NetworkDefinition: Codable, Hashable {
  var name: String
  var settings: JSONValue

  init?(_ json: JSONValue) {
    guard let name = json["Name"]?.string else { return nil }
    self.name = name
    settings = [:]
    for key in ["Driver", "EnableIPv6", "Internal", "Attachable", "Options", "Labels", "IPAM", "Scope"] {
      if let value = json[key], !value.isNothing { settings[key] = value }
    }
    // Podman's word for a network that has none.
    if let pools = settings["IPAM"]?["Config"]?.array {
      settings["IPAM"]?["Config"] = .array(
        pools.map { pool in
          var pool = pool
          if pool["Gateway"]?.string == "<nil>" { pool["Gateway"] = nil }
          return pool
        })
    }
  }

  /// Why it cannot be made here, or nil.
  var obstacle: String? {
    if let scope = settings["Scope"]?.string, scope != "local" { return "it is of a whole swarm" }
    return nil
  }

  /// As engines take it; without addresses they choose some.
  func body(withAddresses: Bool) -> JSONValue {
    var body = settings
    body["Scope"] = nil
    body["Name"] = .string(name)
    body["CheckDuplicate"] = true
    if !withAddresses { body["IPAM"] = nil }
    return body
  }
}
