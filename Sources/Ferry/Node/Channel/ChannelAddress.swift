import FerrySystem

/// How the two ends of a channel meet.
enum ChannelKind: String, Sendable, Codable {
  /// On one machine: a unix socket between the agents.
  case local
  /// From host to host: TLS 1.3 over TCP.
  case direct
  /// Each end to the controller, through the ssh that its agent is reached by.
  case relay
}

/// Where one end of a channel waits for the other.
enum ChannelAddress: Sendable, Codable, Hashable {
  case local(LinkPoint)
  case direct(host: String, port: UInt16)
  /// A unix socket that the controller goes to, through `ferry link` where the node is another host.
  case relay(LinkPoint)
}

/// A unix socket below a node's home, and what to say there.
struct LinkPoint: Sendable, Codable, Hashable {
  /// The folder's name below `links`; the socket in it is named `link`.
  var name: String
  /// The folder.
  var folder: String
  /// 32 random bytes, hex: whoever cannot show them is not the other end.
  var token: String
}

/// The one-time key of a direct channel. It goes from the controller to both agents in the body of a message and is nowhere else: its text
/// in a message or a log is not the key.
struct ChannelKey: Sendable, Codable, Hashable, CustomStringConvertible, CustomDebugStringConvertible {
  private let hex: String

  init(hex: String = Hex.random(32)) { self.hex = hex }

  init(from decoder: any Decoder) throws { hex = try decoder.singleValueContainer().decode(String.self) }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(hex)
  }

  var bytes: [UInt8] {
    get throws {
      let digits = Array(hex.utf8)
      let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
        UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
      }
      guard bytes.count == 32, digits.count == 64 else { throw FerryError(.invalid, "a channel's key is not 32 bytes") }
      return bytes
    }
  }

  var description: String { "(a channel's key)" }
  var debugDescription: String { description }
}

/// What both ends of one channel must agree on.
struct ChannelTerms: Sendable, Codable {
  /// What the agents call the channel.
  var channel: String
  /// Of a direct channel.
  var key: ChannelKey?
  /// TCP connections that carry the source's bytes, of a direct channel.
  var streams = 2
  /// Whether blocks may be compressed.
  var compression = false

  /// The connections of a direct channel, by the side that sends on it. Each carries bytes one way.
  var connections: [StreamName] {
    (0..<max(1, streams)).map { StreamName(sender: .source, number: $0) } + [StreamName(sender: .destination, number: 0)]
  }
}

/// One TCP connection of a direct channel. The name is no secret; the handshake binds it to the key.
struct StreamName: Sendable, Hashable {
  var sender: Side
  var number: Int
  var text: String { "\(sender.rawValue)-\(number)" }
}
