import FerrySystem

/// What `check` replies. Keys that are missing stay nil.
public struct CheckReply: Sendable, Codable, Hashable {
  /// What a person should know.
  public var notices: [ProviderNotice]?
  /// Of content.
  public var bytes: Int64?
  /// What the provider counts.
  public var entries: Int64?
  /// Bytes that fit at the destination.
  public var room: Int64?
  /// Versions by tool.
  public var versions: [String: String]?
}

/// A notice of a provider.
public struct ProviderNotice: Sendable, Codable, Hashable {
  /// Whether the run may go on.
  public enum Severity: String, Sendable, Codable { case warning, error }
  /// Whether the run may go on.
  public var severity: Severity
  /// What is the case.
  public var text: String
  /// What to do about it.
  public var hint: String?
}

/// What `transfer` and `receive` reply.
public struct PassReply: Sendable, Codable, Hashable {
  /// Of content.
  public var bytes: Int64?
  /// What the provider counts.
  public var entries: Int64?
  /// Entries sent.
  public var changed: Int64?
  /// Entries that went away meanwhile.
  public var vanished: Int64?
  /// Entries that could not be read.
  public var unread: [String]?
  /// How what had to move was found, in the provider's own words.
  public var method: String?
}

/// What `digest` replies.
public struct DigestReply: Sendable, Codable, Hashable {
  /// Lower-case hex; equal at both ends exactly if the state is.
  public var root: String
  /// What went into it.
  public var entries: Int64
  /// Bytes of content that went into it.
  public var bytes: Int64
  /// For the receipt.
  public var evidence: [String: String]?
}

extension ProviderCall {
  /// Throws unless the reply has the shape that the ABI demands of this call.
  func validate(_ reply: JSONValue, side: Side) throws {
    guard reply.object != nil else { throw FerryError(.internal, "the reply is not a JSON object") }
    func whole(_ numbers: [String: Int64?]) throws {
      for (name, number) in numbers.sorted(by: { $0.key < $1.key }) {
        if let number, number < 0 { throw FerryError(.internal, "'\(name)' is negative") }
      }
    }
    switch self {
    case .check:
      let reply = try reply.decode(CheckReply.self)
      try whole(["bytes": reply.bytes, "entries": reply.entries, "room": reply.room])
    case .prepare where side == .destination:
      guard let target = reply["target"]?.string else { throw FerryError(.internal, "'target' is missing") }
      guard target == "private" || target == "in-place" else {
        throw FerryError(.internal, "'target' is '\(target)' and must be 'private' or 'in-place'")
      }
    case .transfer, .receive:
      let reply = try reply.decode(PassReply.self)
      try whole(["bytes": reply.bytes, "entries": reply.entries, "changed": reply.changed, "vanished": reply.vanished])
    case .digest:
      let reply = try reply.decode(DigestReply.self)
      try whole(["bytes": reply.bytes, "entries": reply.entries])
      guard !reply.root.isEmpty, reply.root.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else {
        throw FerryError(.internal, "'root' is not lower-case hex: '\(reply.root.prefix(80))'")
      }
    default: break
    }
  }
}
