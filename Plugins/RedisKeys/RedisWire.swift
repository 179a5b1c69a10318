import FerryPluginKit
import Glibc

/// Keys on a channel. Each is its name's length, its name, when it expires, its value's length and its value as `DUMP` gives it; numbers are
/// of eight bytes, the lowest first. A value that has not changed since the last pass has the length -1. A name of the length -1 ends it all, with the
/// number of keys and the moment before which expiry is left out of the proof. The receiver says both again: it has them all. Who answers at random
/// does not know them.
struct RedisSender {
  private let stream: RedisStream
  private var buffer: [UInt8] = []

  init(_ channel: Int32, _ context: ProviderContext) { stream = RedisStream(channel: channel, context: context) }

  mutating func send(_ key: RedisKey, _ value: [UInt8]?) throws {
    put(Int64(key.name.count))
    buffer += key.name
    put(key.expiry)
    put(value.map { Int64($0.count) } ?? -1)
    buffer += value ?? []
    if buffer.count > 1 << 18 { try flush() }
  }

  mutating func end(count: Int, horizon: Int64) throws {
    put(-1)
    let end = Self.end(Int64(count), horizon)
    buffer += end
    try flush()
    var answer: [UInt8] = []
    while answer.count < end.count {
      let more = try stream.read(upTo: end.count - answer.count)
      guard !more.isEmpty else { throw FerryError(.peer, "the destination ended before it had all keys") }
      answer += more
    }
    guard answer == end else { throw FerryError(.peer, "the destination does not say what was sent: the other end is none of redis-keys") }
  }

  /// How many keys there were, and the moment, as both ends say them.
  fileprivate static func end(_ count: Int64, _ horizon: Int64) -> [UInt8] {
    [count, horizon].flatMap { withUnsafeBytes(of: $0.littleEndian) { Array($0) } }
  }

  private mutating func put(_ number: Int64) { withUnsafeBytes(of: number.littleEndian) { buffer += $0 } }

  private mutating func flush() throws {
    try stream.write(buffer)
    buffer.removeAll(keepingCapacity: true)
  }
}

/// The other end.
struct RedisReceiver {
  private let stream: RedisStream
  private var buffer: [UInt8] = []
  private var start = 0

  init(_ channel: Int32, _ context: ProviderContext) { stream = RedisStream(channel: channel, context: context) }

  /// All has been received.
  func acknowledge(count: Int64, horizon: Int64) throws { try stream.write(RedisSender.end(count, horizon)) }

  enum Message {
    case key(RedisKey, value: [UInt8]?)
    case end(count: Int64, horizon: Int64)
  }

  /// No name or value of Redis is larger.
  private static let limit: Int64 = 512 << 20

  mutating func next() throws -> Message {
    let length = try number()
    if length == -1 { return .end(count: try number(), horizon: try number()) }
    let name = try bytes(length)
    let expiry = try number()
    let size = try number()
    return .key(RedisKey(name, expiry: expiry), value: size == -1 ? nil : try bytes(size))
  }

  private mutating func number() throws -> Int64 {
    try bytes(8).reversed().reduce(into: Int64(0)) { $0 = $0 << 8 | Int64($1) }
  }

  private mutating func bytes(_ count: Int64) throws -> [UInt8] {
    guard (0...Self.limit).contains(count) else { throw FerryError(.peer, "the source announces \(count) bytes, which no key has") }
    while buffer.count - start < Int(count) {
      if start > 0 {
        buffer.removeFirst(start)
        start = 0
      }
      let more = try stream.read(upTo: 1 << 18)
      guard !more.isEmpty else { throw FerryError(.peer, "the source ended before its keys did") }
      buffer += more
    }
    defer { start += Int(count) }
    return Array(buffer[start..<start + Int(count)])
  }
}

/// A channel whose waits end when the call is cancelled.
private struct RedisStream {
  let channel: Int32
  let context: ProviderContext

  /// What has come, and at least a byte; nothing at the end.
  func read(upTo count: Int) throws -> [UInt8] {
    while true {
      try wait(for: POLLIN)
      var failure: Int32 = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
        let read = recv(channel, buffer.baseAddress, count, Int32(MSG_DONTWAIT))
        failure = read < 0 ? errno : 0
        filled = max(0, read)
      }
      if failure == 0 { return bytes }
      guard failure == EAGAIN || failure == EINTR else { throw FerryError(errno: failure, "cannot read from the other end") }
    }
  }

  func write(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      try wait(for: POLLOUT)
      let sent = rest.withUnsafeBytes { send(channel, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)) }
      if sent < 0 && (errno == EAGAIN || errno == EINTR) { continue }
      guard sent > 0 else { throw FerryError(.peer, "the other end closed the channel") }
      rest = rest.dropFirst(sent)
    }
  }

  private func wait(for event: Int32) throws {
    var states = [
      pollfd(fd: channel, events: Int16(event), revents: 0), pollfd(fd: context.cancellation.descriptor, events: Int16(POLLIN), revents: 0),
    ]
    guard poll(&states, 2, -1) >= 0 || errno == EINTR else { throw FerryError(errno: errno, "cannot wait for the other end") }
    try context.checkCancellation()
  }
}
