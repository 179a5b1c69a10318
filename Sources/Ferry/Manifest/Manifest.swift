import FerrySystem

/// A migration, as a manifest describes it: parsed, checked, parameters filled in.
public struct Manifest: Sendable, Codable, Hashable {
  /// The file as the caller named it, for messages.
  public var file: String
  /// SHA-256 of the manifest's bytes and of the parameters' values, hex.
  public var digest: String
  public var name: String
  public var mode: Mode
  public var source: NodeSpec
  public var destination: NodeSpec
  public var services: [ServiceSpec] = []
  public var state: [ItemSpec] = []
  public var cutover = CutoverSpec()
  public var limits = LimitsSpec()
  /// How equality is proven before the seal.
  public var verify: VerifyMethod = .sweep
  public var digestAlgorithm: DigestAlgorithm = .xxh3
  /// The hook folder, absolute.
  public var hooks: String?
  public var onFailure: FailurePolicy = .undo
  /// The parameters' values after `--set`, for hooks. No secret is a parameter.
  public var parameters: [String: String] = [:]
  /// How long a failed run is tried again by itself; nil: not at all.
  public var retry: Duration?
  /// What is odd in the file but stops nothing.
  public var warnings: [Diagnostic] = []

  public enum Mode: String, Sendable, Codable, CaseIterable { case copy, move, follow }
  public enum VerifyMethod: String, Sendable, Codable, CaseIterable { case tracked, sweep, full }
  public enum DigestAlgorithm: String, Sendable, Codable, CaseIterable { case xxh3 = "xxh3-128", sha256 }
  public enum FailurePolicy: String, Sendable, Codable, CaseIterable { case undo, keep }
}

/// Where an end lives.
public struct NodeSpec: Sendable, Codable, Hashable {
  /// `local` or `ssh://user@host:port`.
  public var node: String
  /// What messages call it; the node's address unless the manifest names it.
  public var name: String
  /// Where the node keeps what it must remember; nil: the node's own default.
  public var home: String?

  public init(node: String, name: String, home: String? = nil) {
    self.node = node
    self.name = name
    self.home = home
  }
}

/// A service that uses the state. Ordered: stopped from the first to the last, started in reverse.
public struct ServiceSpec: Sendable, Codable, Hashable {
  public var name: String
  public var kind: Kind
  /// How the service is called at each end, and what is added to the environment of its commands there.
  public var source: Side
  public var destination: Side
  public var stopTimeout: Duration = .seconds(60)
  public var startTimeout: Duration = .seconds(60)
  /// A probe beside the kind's own: a command that ends with 0 once the service is healthy.
  public var healthy: [String]?
  public var healthyTimeout: Duration = .seconds(60)

  public enum Kind: Sendable, Codable, Hashable {
    /// `hold` makes it stay down whoever starts it; `release` undoes that.
    case command(stop: [String], start: [String], status: [String]?, hold: [String]?, release: [String]?)
    case systemd(unit: String, user: Bool)
    case podman(container: String)
    case docker(container: String)
  }
  public struct Side: Sendable, Codable, Hashable {
    /// Another unit's or container's name at this end; nil: the kind's own. The empty text: not at this end.
    public var name: String?
    public var environment: [String: String] = [:]
    public init(name: String? = nil, environment: [String: String] = [:]) {
      self.name = name
      self.environment = environment
    }
  }
}

/// One state item: a row of the run.
public struct ItemSpec: Sendable, Codable, Hashable {
  public var name: String
  public var provider: String
  /// The provider's keys: an object with `from`, `to` and what the provider's schema allows beside them.
  public var config: JSONValue
  /// Items that go first inside each phase.
  public var after: [String] = []
  public var secrets: [String: SecretReference] = [:]
  public var allowEmpty = false
  /// `follow` mode: until cutover, or for ever.
  public var follow: Follow = .untilCutover
  /// Where it stands in the manifest, for messages: `file:line:column`.
  public var position: String = ""

  public enum Follow: String, Sendable, Codable, CaseIterable { case untilCutover = "until-cutover", forever }
}

/// Where a secret is; never the secret.
public enum SecretReference: Sendable, Codable, Hashable {
  /// A variable of the controller's environment.
  case env(String)
  /// A file on the node that needs it, absolute.
  case file(String)
  /// A command on the node that needs it, whose output is the secret.
  case command([String])
}

/// The outage, and what to do if it will not fit.
public struct CutoverSpec: Sendable, Codable, Hashable {
  public var maxDowntime: Duration?
  public var onMiss: OnMiss = .abort
  /// Wait for a person before these phases.
  public var holdBefore: [Phase] = []
  /// How long the source may be held down without word from the controller before the watchdog brings it back.
  public var watchdog: Duration = .seconds(300)
  /// At most this many copy passes.
  public var maxPasses: Int = 8

  public enum OnMiss: String, Sendable, Codable, CaseIterable { case abort, proceed }
}

/// What the run may use.
public struct LimitsSpec: Sendable, Codable, Hashable {
  /// Bytes a second over all channels; nil: no limit.
  public var bandwidth: Int64?
  /// Items at once.
  public var parallel: Int = 4
  /// A call of a provider that neither reports progress nor returns for this long is ended.
  public var stall: Duration = .seconds(600)
  /// Whether channels may compress.
  public var compression: Compression = .auto

  public enum Compression: String, Sendable, Codable, CaseIterable { case auto, none }
}
