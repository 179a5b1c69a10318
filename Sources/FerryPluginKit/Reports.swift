/// What `check` found.
public struct CheckReport: Sendable, Codable, Hashable {
  /// What a person should know; one of severity `error` fails the check.
  public var notices: [Notice]
  /// The size of the state (source).
  public var bytes: Int64?
  /// Files, records, rows: what the provider counts (source).
  public var entries: Int64?
  /// Bytes that fit (destination).
  public var room: Int64?
  /// The version of each tool that is used.
  public var versions: [String: String]
  /// What can be held here, for the source's `check` (destination).
  public var abilities: JSONValue?

  /// A report; what is not known stays out of it.
  public init(
    notices: [Notice] = [], bytes: Int64? = nil, entries: Int64? = nil, room: Int64? = nil, versions: [String: String] = [:]
  ) {
    self.notices = notices
    self.bytes = bytes
    self.entries = entries
    self.room = room
    self.versions = versions
  }

  /// Something that a person should know before the run.
  public struct Notice: Sendable, Codable, Hashable {
    /// Whether the run may go on.
    public enum Severity: String, Sendable, Codable { case warning, error }
    /// Whether the run may go on.
    public var severity: Severity
    /// What is the case.
    public var text: String
    /// What to do about it, or empty.
    public var hint: String

    /// A notice.
    public init(_ severity: Severity, _ text: String, hint: String = "") {
      self.severity = severity
      self.text = text
      self.hint = hint
    }
  }
}

/// What the destination tells the source: how the state is received, and any keys of the provider's own.
public struct Offer: Sendable, Hashable {
  /// What receives the state.
  public enum Target: String, Sendable, Codable {
    /// Filled under a name of the run's own and renamed in `activate`.
    case `private`
    /// Something that exists is changed where it is; the provider brings its own undo.
    case inPlace = "in-place"
  }
  /// What receives the state.
  public var target: Target
  /// The provider's own keys.
  public var keys: [String: JSONValue]

  /// An offer with keys of the provider's own.
  public init(_ target: Target, _ keys: [String: JSONValue] = [:]) {
    self.target = target
    self.keys = keys
  }

  /// A key of the provider's own.
  public subscript(key: String) -> JSONValue? { keys[key] }

  /// The provider's own keys as a type of its own.
  public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value { try JSONValue.object(keys).decode(type) }

  init(json: JSONValue) throws {
    guard var members = json.object, let target = members.removeValue(forKey: "target")?.string.flatMap(Target.init) else {
      throw FerryError(.internal, "the offer has no 'target'")
    }
    self.init(target, members)
  }

  var json: JSONValue { .object(keys.merging(["target": .string(target.rawValue)]) { _, target in target }) }
}

/// What one half of a pass did.
public struct PassReport: Sendable, Codable, Hashable {
  /// Bytes of content sent or received.
  public var bytes: Int64
  /// Entries looked at (source) or received (destination).
  public var entries: Int64
  /// Entries sent (source).
  public var changed: Int64?
  /// Entries that went away while the pass ran (source, hot passes only).
  public var vanished: Int64?
  /// Entries that could not be read (source, hot passes only; in the final pass that is an error).
  public var unread: [String]?
  /// How what had to move was found, in the provider's own words (source). It is shown with the pass.
  public var method: String?

  /// A report; what is not known stays out of it.
  public init(
    bytes: Int64, entries: Int64, changed: Int64? = nil, vanished: Int64? = nil, unread: [String]? = nil, method: String? = nil
  ) {
    self.method = method
    self.bytes = bytes
    self.entries = entries
    self.changed = changed
    self.vanished = vanished
    self.unread = unread
  }
}

/// What to digest, and how.
public struct DigestRequest: Sendable, Hashable {
  /// What content and metadata are hashed with.
  public enum Algorithm: String, Sendable, Codable {
    case xxh3 = "xxh3-128"
    case sha256
  }
  /// At the destination: what was received before, or after `activate`.
  public enum Target: String, Sendable, Codable { case staged, active }

  /// How far a digest looks itself. All depths have the same root for the same state; a provider may look further than it is asked to.
  public enum Depth: String, Sendable, Codable {
    /// What was gathered while the passes ran is enough.
    case tracked
    /// All metadata is looked at, and content that no longer looks as it did.
    case sweep
    /// All content is read again; no earlier digest is trusted.
    case full
  }

  /// What content and metadata are hashed with.
  public var algorithm: Algorithm
  /// Where the state is, at the destination.
  public var target: Target
  /// How far to look.
  public var depth: Depth
  /// A file to write, one `digest<TAB>path` line an entry, sorted by path.
  public var listing: String?
  /// What the destination offered in `prepare`.
  public var offer: Offer?

  /// Read all content again; trust no earlier digest.
  public var isFull: Bool { depth == .full }

  /// A request.
  public init(
    algorithm: Algorithm = .xxh3, target: Target = .staged, depth: Depth = .sweep, listing: String? = nil, offer: Offer? = nil
  ) {
    self.algorithm = algorithm
    self.target = target
    self.depth = depth
    self.listing = listing
    self.offer = offer
  }
}

/// What the state is.
public struct DigestReport: Sendable, Codable, Hashable {
  /// Hex; equal at both ends exactly if the state is.
  public var root: String
  /// Entries and bytes of content that went into it.
  public var entries: Int64
  /// Bytes of content that went into it.
  public var bytes: Int64
  /// What the receipt is to show beside the root: moments, versions, methods. The ends may differ in it.
  public var evidence: [String: String]?

  /// A digest.
  public init(root: String, entries: Int64, bytes: Int64, evidence: [String: String]? = nil) {
    self.root = root
    self.entries = entries
    self.bytes = bytes
    self.evidence = evidence
  }
}
