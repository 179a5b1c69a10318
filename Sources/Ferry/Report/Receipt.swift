/// What a finished run can prove. JSON, kept with the journal.
public struct Receipt: Sendable, Codable, Hashable {
  public var run: String
  public var name: String
  public var mode: Manifest.Mode
  /// Seconds since 1970.
  public var began: Double
  public var ended: Double
  public var ferry: String
  /// SHA-256 of the manifest with its parameters.
  public var manifest: String
  public var source: Node
  public var destination: Node
  public var plugins: [Plugin]
  public var items: [Item]
  public var outage: Outage
  public var verify: Manifest.VerifyMethod
  public var algorithm: Manifest.DigestAlgorithm

  public struct Node: Sendable, Codable, Hashable {
    public var node: String
    public var name: String
    public var host: String
    public var home: String
  }
  public struct Plugin: Sendable, Codable, Hashable {
    public var provider: String
    public var version: String
    public var sha256: String
  }
  public struct Item: Sendable, Codable, Hashable {
    public var name: String
    public var provider: String
    public var entries: Int64
    public var bytes: Int64
    /// Passes, the final one among them.
    public var passes: Int
    /// Bytes through the channels.
    public var sent: Int64
    /// Merkle root over path, metadata and content, as each end computed it.
    public var sourceRoot: String
    public var destinationRoot: String
    /// The destination's offer: what its digest is made by.
    public var offer: JSONValue
  }
  /// Seconds without service, by part. A copy's outage is the source's.
  public struct Outage: Sendable, Codable, Hashable {
    public var stop: Double = 0
    public var final: Double = 0
    public var verify: Double = 0
    public var start: Double = 0
    public var total: Double = 0
  }
}
