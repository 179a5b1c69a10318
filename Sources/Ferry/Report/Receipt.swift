/// What a finished run can prove. JSON, kept with the journal.
public struct Receipt: Sendable, Codable, Hashable {
  /// The run's full id.
  public var run: String
  /// What the manifest calls the migration.
  public var name: String
  /// What has become of the source.
  public var mode: Manifest.Mode
  /// Seconds since 1970.
  public var began: Double
  /// When the receipt was made, in seconds since 1970: all is done by then.
  public var ended: Double
  /// Until when the run can be rolled back, in seconds since 1970; nil: not at all.
  public var rollbackUntil: Double?
  /// The version of Ferry at the controller.
  public var ferry: String
  /// SHA-256 of the manifest with its parameters.
  public var manifest: String
  /// The end that was left.
  public var source: Node
  /// The end that serves now; a copy's holds what was received.
  public var destination: Node
  /// One for each provider that the run used, by id.
  public var plugins: [Plugin]
  /// In the manifest's order.
  public var items: [Item]
  /// How long the services were away, part by part.
  public var outage: Outage
  /// How much was read again for the proof.
  public var verify: Manifest.VerifyMethod
  /// What the roots are made with.
  public var algorithm: Manifest.DigestAlgorithm

  /// The manifest, with its parameters filled in: with it `ferry verify` works wherever the receipt is. Secrets are references. A transfer has it
  /// beside what waits; so have not receipts of earlier releases.
  public var definition: Manifest?
  /// Of a transfer alone: what waits to be received.
  public var transfer: Transfer?

  /// What a transfer has stored, and all that receiving it takes.
  public struct Transfer: Sendable, Codable, Hashable {
    /// The manifest, with its parameters filled in. Secrets are references.
    public var manifest: Manifest
    /// The snapshots' names in their stores, by item.
    public var snapshots: [String: String]
  }
  /// One end.
  public struct Node: Sendable, Codable, Hashable {
    /// `local`, or the node's address.
    public var node: String
    /// What the manifest calls it.
    public var name: String
    /// The machine's own name.
    public var host: String
    /// The folder in which the node keeps its record, absolute.
    public var home: String
  }
  /// A plugin as the controller had it when the run ended.
  public struct Plugin: Sendable, Codable, Hashable {
    /// The id of the provider.
    public var provider: String
    /// The module's version, in its author's words.
    public var version: String
    /// Of the plugin's file, hex.
    public var sha256: String
  }
  /// One item: what was moved, and the proof.
  public struct Item: Sendable, Codable, Hashable {
    /// The item's name in the manifest.
    public var name: String
    /// The id of the provider that moved it.
    public var provider: String
    /// Entries that the destination's digest covers.
    public var entries: Int64
    /// Content bytes that the destination's digest covers.
    public var bytes: Int64
    /// Passes, the final one among them.
    public var passes: Int
    /// Bytes through the channels.
    public var sent: Int64
    /// Merkle root over path, metadata and content, as each end computed it.
    public var sourceRoot: String
    /// The root at the destination; a receipt exists only if it is `sourceRoot`.
    public var destinationRoot: String
    /// The destination's offer: what its digest is made by.
    public var offer: JSONValue
    /// What each end's provider says beside its root, by side.
    public var evidence: [String: JSONValue]?
  }
  /// Seconds without service, by part. A copy's outage is the source's.
  public struct Outage: Sendable, Codable, Hashable {
    /// From the first service's stop to the final pass.
    public var stop: Double = 0
    /// The final pass of all items.
    public var final: Double = 0
    /// From there to the first start: digests, comparison, and in a move or follow the seal and the real names.
    public var verify: Double = 0
    /// Starting the services, until each is healthy.
    public var start: Double = 0
    /// All of it; in a run of several sessions that of the last outage.
    public var total: Double = 0
  }
}
