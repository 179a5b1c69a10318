import FerrySystem

/// What `check` replies. Keys that are missing stay nil.
public struct CheckReply: Sendable, Codable, Hashable {
  public var notices: [ProviderNotice]?
  public var bytes: Int64?
  public var entries: Int64?
  public var room: Int64?
  public var versions: [String: String]?
}

/// A notice of a provider.
public struct ProviderNotice: Sendable, Codable, Hashable {
  public enum Severity: String, Sendable, Codable { case warning, error }
  public var severity: Severity
  public var text: String
  public var hint: String?
}

/// What `transfer` and `receive` reply.
public struct PassReply: Sendable, Codable, Hashable {
  public var bytes: Int64?
  public var entries: Int64?
  public var changed: Int64?
  public var vanished: Int64?
  public var unread: [String]?
}

/// What `digest` replies.
public struct DigestReply: Sendable, Codable, Hashable {
  public var root: String
  public var entries: Int64
  public var bytes: Int64
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
