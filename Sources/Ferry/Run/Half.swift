import FerrySystem

/// One half of a deferred run: the state waits in between, in a store that the provider knows.
public enum Half: String, Sendable, Codable, CaseIterable {
  /// The source's: ends with a receipt that `receive` takes.
  case transfer
  /// The destination's.
  case receive

  /// The one end that this half has.
  var side: Side { self == .transfer ? .source : .destination }

  /// Its phases, in order.
  public var phases: [Phase] {
    self == .transfer ? [.check, .prepare, .copy, .quiesce, .final, .verify] : [.check, .prepare, .final, .verify, .activate]
  }
}

/// What a transfer leaves beside one item's stored state, for the one who fetches it: what it was proven to be.
public struct Deposit: Sendable, Codable, Hashable {
  /// What the manifest calls the migration.
  public var name: String
  /// The run that transferred it.
  public var run: String
  /// The item's name in the manifest.
  public var item: String
  /// When its digest was taken, in seconds since 1970.
  public var time: Double
  /// SHA-256 of the manifest with its parameters.
  public var manifest: String
  /// What the root is made with.
  public var algorithm: Manifest.DigestAlgorithm
  /// The source's root, hex.
  public var root: String
  /// What went into it.
  public var entries: Int64
  /// Bytes of content that went into it.
  public var bytes: Int64
  /// What the source's digest was made by, in place of a destination's offer.
  public var offer: JSONValue

  /// Whether another says the same, at another time.
  func says(_ other: Deposit) -> Bool {
    var same = other
    same.time = time
    return self == same
  }
}

/// What a provider says of a stored snapshot.
public struct StoredSnapshot: Sendable, Codable, Hashable {
  /// Its name in the store.
  public var snapshot: String
  /// The run that stored it, if it was a run.
  public var run: String?
  /// When, as ISO 8601 has it.
  public var time: String
  /// Whether it was proven and can be received.
  public var complete: Bool
}

extension RunEntry {
  /// The ends that the run has.
  var sides: [Side] { options.half.map { [$0.side] } ?? Side.allCases }
  /// The run's phases, in order.
  public var phases: [Phase] { options.half?.phases ?? manifest.mode.phases }
}
