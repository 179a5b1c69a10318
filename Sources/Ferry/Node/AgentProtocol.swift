import FerrySystem

/// What the controller asks of an agent, by method. Every message but `hello` belongs to the session that `open` began.
enum AgentMethod: String, Codable, CaseIterable {
  case hello, open
  /// Provider calls that leave the question who serves alone: check, prepare, transfer, receive, digest.
  case call, listen, connect, drop, cancel
  /// Source: a pass that stays is to end.
  case windUp = "wind-up"
  case checkServices = "check-services"
  case hooks, touch, record
  /// Source.
  case quiesce, thaw, seal, unseal, retire
  /// Destination.
  case proven, activate, start, deactivate, renounce
  case letGo = "let-go"
  /// Both.
  case discard, release, finish, compare
}

/// Spoken by both ends; a mismatch names both.
enum AgentProtocolVersion { static let current = 4 }

/// What `start` and `thaw` answer.
struct StartReply: Codable, Sendable {
  /// For how many seconds all services had been up by then, and were only watched: no part of the outage.
  var watched: Double
}

struct HelloReply: Codable, Sendable {
  var `protocol`: Int
  var ferry: String
  var host: String
  var home: String
  var process: ProcessIdentity
  /// The addresses of the ssh session that leads to the agent; nil on the controller's own machine.
  var ssh: SSHSession?
}

/// The addresses by which two hosts have found each other once already.
struct SSHSession: Codable, Sendable, Hashable {
  /// Of the host that called, as the node sees it.
  var client: String
  /// Of the node itself.
  var server: String
}

struct OpenRequest: Codable, Sendable {
  var record: NodeRecord
  /// Only looks: keeps nothing on the node, may not change anything.
  var visitor: Bool
  /// Base64 of the controller's secrets, by item and name.
  var secrets: [String: [String: String]]
  var stall: Duration
  var bandwidth: Int64?
  /// Between the last word of the controller and the source's return.
  var watchdog: Duration
}

/// What `open` answers.
struct OpenReply: Codable, Sendable {
  /// The record as the node holds it now.
  var record: NodeRecord
  /// The plugins that this end uses, by provider. One that it does not have is left to the check.
  var plugins: [String: PluginFile]
}

struct CallRequest: Codable, Sendable {
  var item: String
  var call: ProviderCall
  var pass: Int = 0
  var first = false
  var final = false
  var full = false
  var arguments: JSONValue = [:]
  /// The channel that `listen` or `connect` named.
  var channel: String?
  /// `digest`: keep the listing under the item's name for a later comparison.
  var keepListing = false
}

struct CallReply: Codable, Sendable {
  var result: JSONValue
  var counts: ChannelCounts?
  /// Seconds that the call took.
  var seconds: Double
}

/// `listen`: wait for the other end of a channel.
struct ListenRequest: Codable, Sendable {
  var terms: ChannelTerms
  var kind: ChannelKind
  /// The address to listen on, for `direct`.
  var host: String?
}

/// `connect`: go to the end that waits.
struct ConnectRequest: Codable, Sendable {
  var terms: ChannelTerms
  var address: ChannelAddress
}

struct HooksRequest: Codable, Sendable {
  var hooks: [Hook]
  var input: JSONValue
  var timeout: Duration
}

/// `proven` and `seal`: the roots that both ends agree on, by item.
struct VerifiedRequest: Codable, Sendable { var verified: [String: String] }
struct UnsealRequest: Codable, Sendable {
  /// The destination has answered `renounce`.
  var confirmed: Bool
}
struct DeactivateRequest: Codable, Sendable {
  /// A person, or a proof that nothing was written there, allows it although services were started.
  var evenIfStarted: Bool
}

struct CompareReply: Codable, Sendable {
  var root: String
  var entries: Int64
  var bytes: Int64
  /// nil: this provider has no listing to compare.
  var drift: Drift?
}

/// What changed at the destination since it was received. Paths are escaped as in listings; at most 100 of each.
public struct Drift: Sendable, Codable, Hashable {
  /// Entries that were there then and are different now.
  public var changed: Int64 = 0
  /// Entries that were not there then.
  public var added: Int64 = 0
  /// Entries that are gone since.
  public var missing: Int64 = 0
  /// Lines such as `changed PATH`, in the order of the paths' bytes.
  public var examples: [String] = []
}

/// What an agent tells without being asked.
enum AgentNotification: String { case log, progress, service }
