import FerryEngineKit

/// What the destination offers.
struct VolumeOffer: Codable {
  /// What it can hold.
  var form: TreeForm
}

/// A volume of the item, as the source describes it.
struct MovedVolume: Codable, Hashable {
  /// As it is at the source.
  var volume: EngineVolume
  /// Where the container of `volumes-from` has it.
  var mounts: [EngineMount]

  /// Why only its definition is moved, or nil.
  var storedElsewhere: String? { volume.storedElsewhere }
}

/// What the ends tell each other before the trees of a pass.
enum VolumeWire {
  /// Source to destination.
  struct List: Codable {
    var form: TreeForm
    var volumes: [MovedVolume]
    /// Of `volumes-from`.
    var container: String?
  }
  /// Destination to source: what each is called there, in the list's order.
  struct Names: Codable {
    var names: [String]
  }
  /// Both ways between two trees: nobody reads ahead into what follows.
  struct Turn: Codable, Equatable {
    var done: String
  }
}

/// What each end remembers of the volumes.
struct VolumeRecord: Codable {
  var form: TreeForm
  var entries: [Entry]

  struct Entry: Codable {
    var moved: MovedVolume
    /// What it is called at the destination.
    var name: String
    /// Destination: its content is received in a folder beside this one.
    var folder: String?
    /// Destination: this run made it.
    var isOurs = false
    /// Its data folder is out of reach. Source: its content is fetched through the engine for each pass. Destination: it is received in a copy
    /// beside, which is stored through the engine in the final pass.
    var isMirror = false
    /// Destination: how far that is.
    var storing: Storing?
    /// What the ids on the disk of a rootless engine stand for.
    var owners: IDMap?

    enum Storing: String, Codable { case begun, done }
  }

  private static let key = "volumes"

  static func read(_ context: ProviderContext) throws -> VolumeRecord? { try context.kv.get(key) }
  func write(_ context: ProviderContext) throws { try context.kv.put(Self.key, self) }
  static func forget(_ context: ProviderContext) throws { try context.kv.remove(key) }
}
