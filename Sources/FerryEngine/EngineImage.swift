import FerrySystem

/// An image as its engine knows it.
public struct EngineImage: Sendable {
  /// All that the engine says.
  public let json: JSONValue

  /// Its id: the digest of its configuration, or what else the engine's store goes by.
  public var id: String { json["Id"]?.string ?? "" }
  /// The digests of its layers' content, lowest first: the same on every machine.
  public var layers: [String] { json["RootFS"]?["Layers"]?.array?.compactMap(\.string) ?? [] }
  /// Bytes on its engine's disk, those that it shares with others included.
  public var size: Int64 { json["Size"]?.int ?? 0 }
}

extension ContainerEngine {
  /// An image by name or id, or nil.
  public func findImage(_ name: String) throws -> EngineImage? { try image(name).map { EngineImage(json: $0) } }

  /// All images that have a name, or that another is not made of.
  public func images() throws -> [EngineImage] {
    struct Entry: Decodable { let Id: String }
    return try client.json([Entry].self, "GET", ["images", "json"]).compactMap { try findImage($0.Id) }
  }

  /// Writes an image as a tar stream, as `docker save` does.
  public func save(_ image: String, to descriptor: Int32) throws {
    try client.ask("GET", ["images", image, "get"], answer: .stream(descriptor))
  }

  /// Loads images from a tar stream; answers what the engine said about it.
  public func load(from descriptor: Int32) throws -> String {
    String(decoding: try client.ask("POST", ["images", "load"], body: .tar(descriptor)), as: UTF8.self)
  }

  /// Gives an image one more name, `repository` or `repository:tag`.
  public func tag(_ image: String, as name: String) throws {
    let start = name.lastIndex(of: "/") ?? name.startIndex
    let colon = name[start...].firstIndex(of: ":")
    let query = [
      ("repo", String(name[..<(colon ?? name.endIndex)])), ("tag", colon.map { String(name[name.index(after: $0)...]) } ?? "latest"),
    ]
    try client.ask("POST", ["images", image, "tag"], query: query)
  }

  /// Removes an image, or one of its names. No error if there is none; one that is in use stays, without an error.
  public func removeImage(_ name: String) throws {
    do { try client.ask("DELETE", ["images", name]) } catch let error as FerryError where [.notFound, .conflict].contains(error.class) {}
  }
}
