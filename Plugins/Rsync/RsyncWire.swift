import FerryPluginKit
import FerryTree
import Glibc

/// What the ends tell each other, one line of JSON each, before rsync speaks. Secrets travel here: the channel is private, the offer is not.
enum RsyncWire {
  /// Source to destination.
  struct Hello: Codable {
    var form: TreeForm
    /// How the source's rsync names its abilities to a server: ".iLsfxCIvu". Only with the channel.
    var abilities: String
  }
  /// Destination to source.
  struct DaemonAddress: Codable {
    var address: String
    var port: Int
    var user: String
    var password: String
  }

  private static let limit = 4096

  static func send(_ message: some Encodable, on channel: Int32) throws {
    let bytes = try JSONValue.encode(message) + [10]
    var start = 0
    while start < bytes.count {
      let sent = bytes.withUnsafeBytes {
        Glibc.send(channel, $0.baseAddress?.advanced(by: start), bytes.count - start, Int32(MSG_NOSIGNAL))
      }
      if sent < 0 && errno == EINTR { continue }
      guard sent >= 0 else { throw FerryError(.peer, "the other end closed the channel before rsync began") }
      start += sent
    }
  }

  /// Reads exactly one line: what follows belongs to rsync.
  static func receive<Message: Decodable>(_ type: Message.Type, on channel: Int32, _ context: ProviderContext) throws -> Message {
    guard let line = try line(on: channel, context) else { throw FerryError(.peer, "the other end closed the channel before rsync began") }
    do { return try JSONValue.decode(type, from: line) } catch {
      throw FerryError(.peer, "the other end began with what is no greeting of the rsync provider")
    }
  }

  /// One line, or nil at the end of the stream.
  static func line(on channel: Int32, _ context: ProviderContext) throws -> [UInt8]? {
    var line: [UInt8] = []
    let cancellation = context.cancellation
    while true {
      var states = [
        pollfd(fd: channel, events: Int16(POLLIN), revents: 0), pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      if poll(&states, 2, -1) < 0 && errno != EINTR { throw FerryError(errno: errno, "cannot wait for the channel") }
      try context.checkCancellation()
      guard states[0].revents != 0 else { continue }
      var byte: UInt8 = 0
      let count = recv(channel, &byte, 1, 0)
      if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      if count <= 0 { return nil }
      if byte == 10 { return line }
      line.append(byte)
      guard line.count < limit else { throw FerryError(.peer, "the other end's greeting has no end") }
    }
  }
}
