import FerrySystem

/// A migration, as a manifest describes it: parsed, checked, parameters filled in.
public struct Manifest: Sendable, Codable, Hashable {
  /// The file as the caller named it, for messages.
  public var file: String
  /// SHA-256 of the manifest's bytes and of the parameters' values, hex.
  public var digest: String
  /// What the migration is called.
  public var name: String
  /// What becomes of the source.
  public var mode: Mode
  /// Where the state is.
  public var source: NodeSpec
  /// Where it goes.
  public var destination: NodeSpec
  /// What uses the state, in the order of stopping.
  public var services: [ServiceSpec] = []
  /// What is moved.
  public var state: [ItemSpec] = []
  /// The outage.
  public var cutover = CutoverSpec()
  /// What the run may use.
  public var limits = LimitsSpec()
  /// How the nodes are joined.
  public var channel: Channel = .auto
  /// How equality is proven before the seal.
  public var verify: VerifyMethod = .sweep
  /// How content is digested.
  public var digestAlgorithm: DigestAlgorithm = .xxh3
  /// The hook folder, absolute.
  public var hooks: String?
  /// What becomes of a failed run's target.
  public var onFailure: FailurePolicy = .undo
  /// The parameters' values after `--set`, for hooks. No secret is a parameter.
  public var parameters: [String: String] = [:]
  /// How long a node that was lost is looked for again before the run goes back; nil: not at all.
  public var retry: Duration?
  /// How long a run that is done can still be rolled back; nil: not at all.
  public var rollbackFor: Duration?
  /// What is odd in the file but stops nothing.
  public var warnings: [Diagnostic] = []

  /// `copy` leaves the source, `move` retires it, `follow` goes on with increments.
  public enum Mode: String, Sendable, Codable, CaseIterable { case copy, move, follow }
  /// From host to host where one can dial the other, through ssh, or the first and else the second.
  public enum Channel: String, Sendable, Codable, CaseIterable { case auto, direct, ssh }
  /// How much is read again for the proof.
  public enum VerifyMethod: String, Sendable, Codable, CaseIterable { case tracked, sweep, full }
  /// Against faults, or against attackers too.
  public enum DigestAlgorithm: String, Sendable, Codable, CaseIterable { case xxh3 = "xxh3-128", sha256 }
  /// Undo what was done at the destination, or keep it for a look.
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
  /// How `ferry` becomes root there; nil: it stays the login's user.
  public var become: Become?
  /// Whether Ferry's own tree is brought to an ssh node, once, and used there.
  public var deploy: Bool

  /// Ways to become root.
  public enum Become: String, Sendable, Codable, CaseIterable { case sudo }

  /// Makes an end.
  public init(node: String, name: String, home: String? = nil, become: Become? = nil, deploy: Bool = false) {
    self.node = node
    self.name = name
    self.home = home
    self.become = become
    self.deploy = deploy
  }

  /// Another node in an end's place, such as a person names on the command line: `local` or `ssh://user@host:port`.
  public init(at address: String, instead other: NodeSpec) throws {
    guard try Pattern(NodeAddress.pattern).matches(address), !NodeAddress.holdsPassword(address) else {
      throw FerryError(.invalid, "'\(address)' is no node", hint: "write 'local' or 'ssh://user@host:port'")
    }
    self.init(node: address, name: address, become: other.become, deploy: other.deploy)
  }
}

/// A service that uses the state. Ordered: stopped from the first to the last, started in reverse.
public struct ServiceSpec: Sendable, Codable, Hashable {
  /// What messages call it.
  public var name: String
  /// What runs it.
  public var kind: Kind
  /// Whose systemd or engine it is of, and as whom its commands run; nil: the user as whom Ferry runs there.
  public var user: String?
  /// How the service is called at each end, whose it is, and what is added to the environment of its commands there.
  public var source: Side
  /// See `source`.
  public var destination: Side
  /// How long stopping may take before it is forced.
  public var stopTimeout: Duration = .seconds(60)
  /// How long starting may take.
  public var startTimeout: Duration = .seconds(60)
  /// A probe beside the kind's own: a command that ends with 0 once the service is healthy.
  public var healthy: [String]?
  /// How long it may take to become healthy.
  public var healthyTimeout: Duration = .seconds(60)

  /// What runs a service, and what it calls it.
  public enum Kind: Sendable, Codable, Hashable {
    /// `hold` makes it stay down whoever starts it; `release` undoes that.
    case command(stop: [String], start: [String], status: [String]?, hold: [String]?, release: [String]?)
    /// A unit of the system's or a user's own manager. Where a user is named, it is of theirs.
    case systemd(unit: String, user: Bool)
    /// A Podman container.
    case podman(container: String)
    /// A Docker container.
    case docker(container: String)
  }
  /// What differs between the ends.
  public struct Side: Sendable, Codable, Hashable {
    /// Another unit's or container's name at this end; nil: the kind's own. The empty text: not at this end.
    public var name: String?
    /// Another user at this end; nil: the service's own.
    public var user: String?
    /// Added to the environment of the service's commands.
    public var environment: [String: String] = [:]
    /// Nothing differs unless told.
    public init(name: String? = nil, user: String? = nil, environment: [String: String] = [:]) {
      self.name = name
      self.user = user
      self.environment = environment
    }
  }
}

/// One state item: a row of the run.
public struct ItemSpec: Sendable, Codable, Hashable {
  /// What the item is called.
  public var name: String
  /// The id of the provider that moves it.
  public var provider: String
  /// The provider's keys: an object with `from`, `to` and what the provider's schema allows beside them.
  public var config: JSONValue
  /// Items that go first inside each phase.
  public var after: [String] = []
  /// By the names that the provider asks for.
  public var secrets: [String: SecretReference] = [:]
  /// An empty source is no error.
  public var allowEmpty = false
  /// `follow` mode: until cutover, or for ever.
  public var follow: Follow = .untilCutover
  /// Where it stands in the manifest, for messages: `file:line:column`.
  public var position: String = ""

  /// How long increments go on.
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
  /// The budget; nil: none.
  public var maxDowntime: Duration?
  /// What to do if the budget cannot be met.
  public var onMiss: OnMiss = .abort
  /// Wait for a person before these phases.
  public var holdBefore: [Phase] = []
  /// How long the source may be held down without word from the controller before the watchdog brings it back.
  public var watchdog: Duration = .seconds(300)
  /// At most this many copy passes.
  public var maxPasses: Int = 8

  /// Leave all as it is, or go on.
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
  /// TCP connections that share the source's bytes of a direct channel.
  public var streams: Int = 2
  /// Whether channels may compress.
  public var compression: Compression = .auto

  /// Whether channels may compress.
  public enum Compression: String, Sendable, Codable, CaseIterable { case auto, none }
}
