/// A provider that can keep the state in a store of its own, where it waits for a destination that is not there yet: its halves may run apart in
/// time. The store is what both ends reach; nothing goes through a channel.
public protocol DeferringProvider: StateProvider {
  /// Like `check`, where a half of a run follows: at the destination `recall` does.
  func checkDeferred() throws -> CheckReport
  /// Source: what the destination would have offered. Starts trackers and holds. What `digest` will be asked for is told: it may be begun.
  func prepareDeferred(_ request: DigestRequest) throws -> Offer
  /// Source: one pass into the store. The final one may have a deposit, which can be kept in what it stores.
  func store(_ pass: Pass) throws -> PassReport
  /// Source, after the final pass and its digest: keeps an object beside what that pass has stored, and answers the name of both. Where the
  /// state did not change meanwhile it is the one that came with the pass.
  func deposit(_ deposit: JSONValue) throws -> String
  /// What is stored of the item, the newest first.
  func snapshots(_ manifest: ManifestIdentity?) throws -> [StoredSnapshot]
  /// Finds a snapshot by its name, a unique beginning of it, its run's id, or as `latest`.
  func recall(_ snapshot: String, _ manifest: ManifestIdentity?) throws -> Recalled
  /// Destination: creates what receives, for the offer that the source made.
  func prepareDeferred(with offer: Offer) throws -> Offer
  /// Destination: fetches a snapshot whole. What was received is on disk when it returns.
  func fetch(_ snapshot: String) throws -> PassReport
}

extension DeferringProvider {
  /// By default nothing else.
  public func checkDeferred() throws -> CheckReport { try check() }
}

/// Which manifest a run is of.
public struct ManifestIdentity: Sendable, Codable, Hashable {
  /// What it calls the migration.
  public var name: String
  /// SHA-256 of it, hex.
  public var digest: String
  /// `copy`, `move` or `follow`.
  public var mode: String?

  /// An identity.
  public init(name: String, digest: String, mode: String? = nil) {
    self.mode = mode
    self.name = name
    self.digest = digest
  }
}

/// One that is stored.
public struct StoredSnapshot: Sendable, Codable, Hashable {
  /// Its name in the store.
  public var snapshot: String
  /// The run that stored it, if it was a run.
  public var run: String?
  /// When, as ISO 8601 has it.
  public var time: String
  /// Whether a deposit is beside it: one without was never proven, or is not Ferry's.
  public var complete: Bool

  /// A snapshot.
  public init(snapshot: String, run: String?, time: String, complete: Bool) {
    self.snapshot = snapshot
    self.run = run
    self.time = time
    self.complete = complete
  }
}

/// One that was found, with what was kept beside it.
public struct Recalled: Sendable, Codable, Hashable {
  /// Its whole name.
  public var snapshot: String
  /// As it was kept.
  public var deposit: JSONValue

  /// A snapshot and its deposit.
  public init(snapshot: String, deposit: JSONValue) {
    self.snapshot = snapshot
    self.deposit = deposit
  }
}
