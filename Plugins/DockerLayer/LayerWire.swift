import FerryEngineKit

/// What the destination offers.
struct LayerOffer: Codable {
  /// What it can hold.
  var form: TreeForm
}

/// Source to destination, before the tree of a pass.
struct LayerGreeting: Codable {
  var form: TreeForm
  /// The layers of the image, lowest first: what the moved one lies upon.
  var base: [String]
  /// For people.
  var image: String
  /// How the container was made.
  var definition: ContainerDefinition
}

/// Destination to source: it is ready for the tree.
struct LayerReady: Codable {
  var container: String
}

/// What an end remembers.
struct LayerRecord: Codable {
  var form: TreeForm
  /// The container's id: a name may be given to another one.
  var container: String
  /// The folder of its layer; of a mirror at the source, its own.
  var folder: String
  /// What is on this end's disk stands for what is in the stream; nil: for itself.
  var owners: LayerOwners?
  /// Destination: the folder holds a whole file system, see `WholeLayer`.
  var isWhole = false
  /// It is a copy beside. Source: built anew for each pass. Destination: stored through the engine in the final one.
  var isMirror = false
  /// Destination: how far that is, or the making of a whole file system.
  var storing: Storing?
  /// Destination: this run made it, under this name.
  var made: String?

  enum Storing: String, Codable {
    /// Of a whole file system: the image's content is there.
    case image
    case begun, done
  }

  private static let key = "layer"

  static func read(_ context: ProviderContext) throws -> LayerRecord? { try context.kv.get(key) }
  func write(_ context: ProviderContext) throws { try context.kv.put(Self.key, self) }
  static func forget(_ context: ProviderContext) throws { try context.kv.remove(key) }
}
