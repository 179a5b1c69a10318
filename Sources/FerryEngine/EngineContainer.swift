import FerrySystem

/// A container as its engine knows it.
public struct EngineContainer: Sendable {
  /// All that the engine says.
  public let json: JSONValue

  init(json: JSONValue) { self.json = json }

  /// Its id.
  public var id: String { json["Id"]?.string ?? "" }
  /// Its name, without the slash that Docker puts before it.
  public var name: String { String((json["Name"]?.string ?? "").drop { $0 == "/" }) }
  /// The id of its image.
  public var image: String { json["Image"]?.string ?? "" }
  /// Whether a process of it may write: it runs, is paused, or is about to.
  public var isRunning: Bool {
    let state = json["State"]
    return state?["Running"]?.bool == true
      || ["running", "paused", "restarting", "stopping", "removing"].contains(state?["Status"]?.string ?? "")
  }
  /// The storage driver of its layer.
  public var driver: String { json["GraphDriver"]?["Name"]?.string ?? json["Driver"]?.string ?? "" }
  /// What the storage driver says about its layer: folders, for an overlay.
  public var layer: [String: String] { json["GraphDriver"]?["Data"]?.object?.compactMapValues(\.string) ?? [:] }
  /// What is mounted into it.
  public var mounts: [EngineMount] {
    (json["Mounts"]?.array ?? []).compactMap { try? $0.decode(EngineMount.self) }.sorted { $0.destination < $1.destination }
  }
}

/// Something mounted into a container.
public struct EngineMount: Codable, Sendable, Hashable {
  /// `volume`, `bind`, `tmpfs`.
  public var type: String
  /// The volume's name.
  public var name: String?
  /// Where its content is on the engine's machine.
  public var source: String?
  /// Where it is in the container.
  public var destination: String
  /// Whether the container may write.
  public var isWritable: Bool
  /// What else was asked for, such as `z`.
  public var mode: String?

  /// `z` or `Z`: the engine gives the content the container's SELinux label. Only `--volume` can say so.
  public var relabelling: String? { mode?.split(separator: ",").first { $0 == "z" || $0 == "Z" }.map(String.init) }

  /// As `--volume` takes it, for a volume or folder that it is to be.
  public func line(_ source: String) -> String {
    "\(source):\(destination):" + [isWritable ? "rw" : "ro", relabelling].compactMap { $0 }.joined(separator: ",")
  }

  enum CodingKeys: String, CodingKey {
    case type = "Type"
    case name = "Name"
    case source = "Source"
    case destination = "Destination"
    case isWritable = "RW"
    case mode = "Mode"
  }
}

/// One line of what a container changed over its image.
public struct EngineChange: Codable, Sendable, Hashable {
  /// Absolute.
  public var path: String
  /// 0: changed; 1: added; 2: deleted.
  public var kind: Int

  enum CodingKeys: String, CodingKey {
    case path = "Path"
    case kind = "Kind"
  }

  /// A change.
  public init(path: String, kind: Int) {
    self.path = path
    self.kind = kind
  }
}

extension ContainerEngine {
  /// A container by name or id, or nil.
  public func container(_ name: String) throws -> EngineContainer? {
    do { return EngineContainer(json: try client.json(JSONValue.self, "GET", ["containers", name, "json"])) } catch let error as FerryError
      where error.class == .notFound
    {
      return nil
    }
  }

  /// All containers that have a volume, running or not.
  public func containers(using volume: String) throws -> [EngineContainer] {
    struct Entry: Decodable { let Id: String }
    let filters: JSONValue = ["volume": [.string(volume)]]
    let found = try client.json([Entry].self, "GET", ["containers", "json"], query: [("all", "true"), ("filters", filters.text)])
    // The filter also finds those that have another volume at a place of that name.
    return try found.compactMap { try container($0.Id) }.filter { $0.mounts.contains { $0.name == volume } }
  }

  /// An image by name or id, or nil.
  public func image(_ name: String) throws -> JSONValue? {
    do { return try client.json(JSONValue.self, "GET", ["images", name, "json"]) } catch let error as FerryError
      where error.class == .notFound
    {
      return nil
    }
  }

  /// Makes a container and does not start it; answers its id.
  public func createContainer(_ name: String, _ body: JSONValue) throws -> String {
    struct Answer: Decodable { let Id: String }
    return try client.json(Answer.self, "POST", ["containers", "create"], query: [("name", name)], body: .json(body)).Id
  }

  /// Removes a container that does not run; no error if there is none. Its volumes stay, but for those without a name if that is asked for.
  public func removeContainer(_ name: String, andAnonymousVolumes: Bool = false) throws {
    let query = andAnonymousVolumes ? [("v", "true")] : []
    do { try client.ask("DELETE", ["containers", name], query: query) } catch let error as FerryError where error.class == .notFound {}
  }

  /// What a container changed over its image.
  public func changes(of container: String) throws -> [EngineChange] {
    try client.json([EngineChange]?.self, "GET", ["containers", container, "changes"]) ?? []
  }

  /// Writes a container's whole file system, without what is mounted into it, as a tar stream.
  public func export(_ container: String, to descriptor: Int32) throws {
    try client.ask("GET", ["containers", container, "export"], answer: .stream(descriptor))
  }

  /// Writes what is at a path of a container, mounts included, as a tar stream.
  public func archive(_ container: String, path: String, to descriptor: Int32) throws {
    try client.ask("GET", ["containers", container, "archive"], query: [("path", path)], answer: .stream(descriptor))
  }

  /// Unpacks a tar stream into a folder of a container, mounts included. Owners are those of the archive, in the container's eyes.
  public func unpack(_ container: String, path: String, from descriptor: Int32) throws {
    try client.ask("PUT", ["containers", container, "archive"], query: [("path", path)], body: .tar(descriptor))
  }
}
