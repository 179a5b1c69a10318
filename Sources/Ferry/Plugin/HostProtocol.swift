import CFerry

/// Flags of one call, by their numbers in the ABI.
public struct PassFlags: OptionSet, Sendable, Codable, Hashable {
  /// The bits, as in `ferry_args.flags`.
  public let rawValue: UInt32
  /// Flags by their bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// Nothing was moved by this run before.
  public static let first = PassFlags(rawValue: UInt32(FERRY_FIRST_PASS))
  /// Nobody writes: be strict.
  public static let final = PassFlags(rawValue: UInt32(FERRY_FINAL_PASS))
  /// Read all content again.
  public static let fullDigest = PassFlags(rawValue: UInt32(FERRY_FULL_DIGEST))
}

/// How far a call is. Totals of 0 are unknown.
public struct ProgressReport: Sendable, Codable, Hashable {
  /// Done in the running call so far.
  public var bytes: UInt64
  /// 0 if unknown.
  public var bytesTotal: UInt64
  /// What the provider counts: files, records, rows.
  public var entries: UInt64
  /// 0 if unknown.
  public var entriesTotal: UInt64
}

/// How important a line of a provider's log is.
public enum LogLevel: Int32, Sendable, Codable, Comparable {
  case debug, info, warning, error
  /// By importance.
  public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// What a host needs to know first. It travels over the control socket only: it holds secrets.
struct HostInstructions: Codable, Sendable {
  var file: PluginFile
  var provider: String
  var side: Side
  var run: String
  var item: String
  var config: JSONValue
  var folder: String
  /// Base64 by name.
  var secrets: [String: String]
  /// At which change of its memory it kills itself.
  var diesAfter: Int?
}

/// One call of the provider. Calls are numbered so that a cancellation that overtakes its call, or comes late, hits no other.
struct HostCall: Codable, Sendable {
  var number: Int
  var call: ProviderCall
  var pass: Int
  var flags: PassFlags
  var arguments: JSONValue
}

/// How a call ended. A provider's error is an answer; an error of the RPC itself means that the host is broken.
struct HostAnswer: Codable, Sendable {
  var reply: JSONValue?
  var error: FerryError?
}

struct HostLogLine: Codable, Sendable {
  var level: LogLevel
  var text: String
}

/// The methods between node and host.
enum HostMethod {
  static let start = "start"
  static let call = "call"
  static let cancel = "cancel"
  static let windUp = "wind-up"
  static let end = "end"
  static let log = "log"
  static let progress = "progress"
}
