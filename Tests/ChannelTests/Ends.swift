import FerrySystem
import Glibc
import TestSupport

@testable import Ferry

/// Both ends of a channel in this process, each with a plugin's socket to write to and read from.
final class Ends: Sendable {
  let source: Descriptor
  let destination: Descriptor
  let movers: [any ChannelMover]

  /// Joins two sets of wires; each end's plugin is a socket pair.
  init(source left: [String: TLSWire], destination right: [String: TLSWire], terms: ChannelTerms, bandwidth: Int64? = nil) throws {
    let (a, mine) = try Descriptor.socketPair()
    let (b, theirs) = try Descriptor.socketPair()
    (source, destination) = (mine, theirs)
    func wires(_ all: [String: TLSWire], _ sender: Side) -> [any Wire] {
      terms.connections.filter { $0.sender == sender }.compactMap { all[$0.text] }
    }
    movers = [
      BlockPump(
        plugin: a, out: wires(left, .source), into: wires(left, .destination), compression: terms.compression,
        limit: bandwidth.map { BandwidthLimit(bytesPerSecond: $0) }),
      BlockPump(plugin: b, out: wires(right, .destination), into: wires(right, .source), compression: terms.compression),
    ]
    for mover in movers { mover.start() }
  }

  /// A listener and a dialler on the loopback.
  static func direct(streams: Int = 2, compression: Bool = false, through proxy: Proxy? = nil, bandwidth: Int64? = nil) throws -> Ends {
    let terms = ChannelTerms(channel: "c", key: ChannelKey(), streams: streams, compression: compression)
    let listener = try DirectListener(host: "127.0.0.1", terms: terms)
    if let proxy { proxy.lead(to: listener.port) }
    let dialled = try DirectChannel.dial(host: "127.0.0.1", port: proxy?.port ?? listener.port, terms: terms)
    return try Ends(source: dialled, destination: listener.accept(within: .seconds(60)), terms: terms, bandwidth: bandwidth)
  }

  /// Writes to both ends and reads from both at once, to the end of both directions.
  func exchange(_ forward: [UInt8], _ back: [UInt8]) throws -> (atDestination: [UInt8], atSource: [UInt8]) {
    let work: [@Sendable () throws -> [UInt8]] = [
      { try self.say(forward, to: self.source) }, { try self.say(back, to: self.destination) },
      { try self.source.readToEnd() }, { try self.destination.readToEnd() },
    ]
    let results = try Threads.map(work) { try $0() }
    return (results[3], results[2])
  }

  /// What reaches the destination of what the source says, to the end, whatever becomes of the channel. Nobody writes any more when it returns: a
  /// descriptor that is closed while somebody writes to its number may be somebody else's by then.
  func destinationHears(_ bytes: [UInt8]) throws -> [UInt8] {
    let said = Signal()
    Threads.detach { [source] in
      try? source.send(bytes)
      said.raise()
    }
    defer { said.wait() }
    return try destination.readToEnd()
  }

  private func say(_ bytes: [UInt8], to end: Descriptor) throws -> [UInt8] {
    try end.send(bytes)
    _ = shutdown(end.number, Int32(SHUT_WR))
    return []
  }

  /// The counts of both ends, or what broke them.
  func finish() -> [Result<ChannelCounts, any Error>] {
    source.close()
    destination.close()
    return movers.map { mover in Result { try mover.finish() } }
  }
}

extension Descriptor {
  /// As `write`, but an end that is gone is no signal.
  func send(_ bytes: [UInt8]) throws {
    guard bytes.withUnsafeBytes({ Sockets.send(number, $0) }) else { throw FerryError(.io, "cannot send") }
  }

  func readToEnd() throws -> [UInt8] {
    var all: [UInt8] = []
    while let more = try? read(upTo: 1 << 18), !more.isEmpty { all += more }
    return all
  }
}

/// A man in the middle: passes on what comes, remembers what the dialler said, and may spoil it.
final class Proxy: Sendable {
  /// What to do with the dialler's bytes of one connection: their offset in it and the bytes; nil: cut the line.
  typealias Spoil = @Sendable (_ offset: Int, _ bytes: [UInt8]) -> [UInt8]?

  let port: UInt16
  private let socket: Descriptor
  private let spoil: Spoil
  private let target = Lock(UInt16(0))
  private let heard = Lock<[[UInt8]]>([])

  init(spoil: @escaping Spoil = { _, bytes in bytes }) throws {
    (socket, port) = try TCPSocket.listen(host: "127.0.0.1")
    self.spoil = spoil
    Threads.detach { [socket, weak self] in
      while let client = TCPSocket.accept(socket, within: .seconds(600)) { self?.pass(client) }
    }
  }

  deinit { _ = shutdown(socket.number, Int32(SHUT_RDWR)) }

  func lead(to port: UInt16) { target.withLock { $0 = port } }

  /// All that diallers have said, by connection.
  var recorded: [[UInt8]] { heard.withLock { $0 } }

  private func pass(_ client: Descriptor) {
    guard let server = try? TCPSocket.connect(host: "127.0.0.1", port: target.withLock({ $0 }), within: .seconds(60)) else { return }
    let index = heard.withLock { heard in
      heard.append([])
      return heard.count - 1
    }
    Threads.detach { [self] in
      var offset = 0
      while let bytes = try? client.read(upTo: 65536), !bytes.isEmpty {
        heard.withLock { if $0[index].count < 1 << 20 { $0[index] += bytes } }
        guard let passed = spoil(offset, bytes), (try? server.send(passed)) != nil else { break }
        offset += bytes.count
      }
      _ = shutdown(server.number, Int32(SHUT_WR))
      _ = shutdown(client.number, Int32(SHUT_RD))
    }
    Threads.detach {
      while let bytes = try? server.read(upTo: 65536), !bytes.isEmpty { if (try? client.send(bytes)) == nil { break } }
      _ = shutdown(client.number, Int32(SHUT_RDWR))
    }
  }
}

enum Bytes {
  /// Content without any pattern, the same for the same seed.
  static func random(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      for index in 0..<count {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        buffer[index] = UInt8(truncatingIfNeeded: state)
      }
      filled = count
    }
  }

  /// Lines as a log has them.
  static func text(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 80)
    var line = 0
    while bytes.count < count {
      bytes += Array("2026-01-01T00:00:\(line % 60) service[\(line % 7)]: request \(line) took \(line % 113) ms\n".utf8)
      line += 1
    }
    return Array(bytes.prefix(count))
  }
}
