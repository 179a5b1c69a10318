import FerrySystem

/// What only Podman has: pods, and an API of its own, which takes settings that Docker's does not know.
extension ContainerEngine {
  private static let own = ["v4.0.0", "libpod"]

  /// What Podman itself shows of a container, beside Docker's form of it.
  public func podmanInspect(_ container: String) throws -> JSONValue {
    try client.json(JSONValue.self, "GET", Self.own + ["containers", container, "json"])
  }

  /// What Podman itself says about itself.
  public func podmanInfo() throws -> JSONValue { try client.json(JSONValue.self, "GET", Self.own + ["info"]) }

  /// Makes a container from Podman's own form of its settings and does not start it; answers its id.
  public func createPodmanContainer(_ spec: JSONValue) throws -> String {
    struct Answer: Decodable { let Id: String }
    return try client.json(Answer.self, "POST", Self.own + ["containers", "create"], body: .json(spec)).Id
  }

  /// A pod by name or id, or nil.
  public func pod(_ name: String) throws -> JSONValue? {
    do { return try client.json(JSONValue.self, "GET", Self.own + ["pods", name, "json"]) } catch let error as FerryError
      where error.class == .notFound
    {
      return nil
    }
  }

  /// Makes a pod.
  public func createPod(_ spec: JSONValue) throws { try client.ask("POST", Self.own + ["pods", "create"], body: .json(spec)) }

  /// Removes a pod with the container that holds its namespaces, and with no other. No error if there is none.
  public func removePod(_ name: String) throws {
    guard let pod = try pod(name) else { return }
    let infra = pod["InfraContainerID"]?.string
    let others = (pod["Containers"]?.array ?? []).filter { $0["Id"]?.string != infra }.compactMap { $0["Name"]?.string }
    guard others.isEmpty else {
      throw FerryError(
        .conflict, "the pod \(name) still has containers: \(others.joined(separator: ", "))", hint: "it stays; `podman pod rm` removes it")
    }
    try client.ask("DELETE", Self.own + ["pods", name], query: [("force", "true")])
  }
}
