import FerrySystem

extension ContainerEngine {
  /// A network by its name or id, as the engine shows it, or nil.
  public func network(_ name: String) throws -> JSONValue? {
    do { return try client.json(JSONValue.self, "GET", ["networks", name]) } catch let error as FerryError where error.class == .notFound {
      return nil
    }
  }

  /// Makes a network.
  public func createNetwork(_ body: JSONValue) throws { try client.ask("POST", ["networks", "create"], body: .json(body)) }

  /// Connects a container to a network.
  public func connect(_ container: String, to network: String, _ endpoint: JSONValue) throws {
    try client.ask(
      "POST", ["networks", network, "connect"], body: .json(["Container": .string(container), "EndpointConfig": endpoint]))
  }

  /// Removes a network. No error if there is none; one that is in use stays, without an error.
  public func removeNetwork(_ name: String) throws {
    do { try client.ask("DELETE", ["networks", name]) } catch let error as FerryError
      where [.notFound, .conflict, .auth].contains(error.class)
    {}
  }

  /// Which running container publishes a port of the host, by the port.
  public func publishedPorts() throws -> [String: String] {
    struct Port: Decodable { let PublicPort: Int? }
    struct Entry: Decodable {
      let Names: [String]
      let Ports: [Port]?
    }
    var found: [String: String] = [:]
    for entry in try client.json([Entry].self, "GET", ["containers", "json"]) {
      for port in entry.Ports ?? [] where port.PublicPort != nil {
        found["\(port.PublicPort ?? 0)"] = String((entry.Names.first ?? "").drop { $0 == "/" })
      }
    }
    return found
  }
}
