import FerryEngineKit

/// What the ends tell each other in a pass, and what they remember.
enum ContainerWire {
  /// Source to destination: how the container was made, in the destination's words.
  struct Greeting: Codable {
    var definition: ContainerDefinition
    var networks: [NetworkDefinition]
    /// What the image is called, or its id.
    var reference: String
    var image: String
    var layers: [String]
    /// Where the content of its volumes is at the source, by their names.
    var places: [String: String]?
  }
  /// Destination to source.
  struct Need: Codable {
    /// Layers that the image is made of and that are there; nil: the image is there, or the container was made in an earlier pass.
    var present: Set<String>?
  }
  /// Source to destination, before the bytes of the configuration and of each layer that is not there.
  struct Parcel: Codable {
    var config: Int64
    /// Of all layers, lowest first.
    var sizes: [Int64]
  }
  /// Destination to source: the container is made.
  struct Made: Codable {
    var container: String
  }
}

/// What the source remembers.
struct ContainerNote: Codable {
  var container: String
  /// As it was before anything was held down.
  var definition: ContainerDefinition

  private static let key = "container"
  static func read(_ context: ProviderContext) throws -> ContainerNote? { try context.kv.get(key) }
  func write(_ context: ProviderContext) throws { try context.kv.put(Self.key, self) }
}

/// What the destination remembers. Each thing is written down before it is made.
struct ContainerRecord: Codable {
  /// The id, once the container is whole.
  var container: String?
  /// As the source has it.
  var restartPolicy: JSONValue?
  /// Names of what this run made here.
  var networks: [String] = []
  /// The image that this run brought, and the name that it gave it.
  var image: String?
  var tag: String?
  /// The id of the container that had the name.
  var replaced: String?

  private static let key = "record"
  static func read(_ context: ProviderContext) throws -> ContainerRecord? { try context.kv.get(key) }
  func write(_ context: ProviderContext) throws { try context.kv.put(Self.key, self) }
  static func forget(_ context: ProviderContext) throws { try context.kv.remove(key) }
}
