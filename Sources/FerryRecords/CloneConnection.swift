import FerrySystem
import Glibc

/// One message between the two ends of a clone set: its length, its kind, and what it says.
struct CloneMessage {
  enum Kind: UInt8 {
    /// Both ways: who speaks, and which set (JSON).
    case hello = 1
    /// Client: what it has.
    case subscribe
    /// Server: how the two differ, and how that will be mended.
    case plan
    /// Client: cells, or keys, of what it has. Server: how many cells it wants in all, or the keys.
    case cells, wantCells, keys, wantKeys
    /// Server: the differences are found.
    case found
    /// Server: records, ids and keys of what is to go, and what the set is now.
    case records, removeIDs, removeKeys, end
    /// Client: what it has now.
    case done
    /// Server: nothing new; it is still there. Either: that was all. Either: an error (JSON).
    case alive, over, failure
    /// Client: whose history, and from when on (JSON). Server: its state (a byte), and items.
    case wantHistory, history
  }
  var kind: Kind
  var payload: [UInt8]

  func json<Value: Decodable>(_ type: Value.Type) throws -> Value {
    do { return try JSONValue.decode(type, from: payload) } catch { throw CloneConnection.nonsense }
  }
}

/// The channel of a clone set, message by message. For one thread.
final class CloneConnection {
  static let limit = 64 << 20
  static let nonsense = FerryError(.peer, "the other end does not speak the protocol of record-clone")

  private static let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)

  private let channel: Int32
  private let cancellation: Cancellation
  private var input: [UInt8] = []
  private var position = 0
  /// Bytes that went and came.
  private(set) var sent: Int64 = 0
  private(set) var received: Int64 = 0

  init(_ channel: Int32, cancellation: Cancellation) {
    self.channel = channel
    self.cancellation = cancellation
  }

  func send(_ kind: CloneMessage.Kind, _ payload: [UInt8] = []) throws {
    let length = UInt32(payload.count + 1)
    var head: [UInt8] = []
    withUnsafeBytes(of: length.littleEndian) { head.append(contentsOf: $0) }
    head.append(kind.rawValue)
    if payload.count < 4096 { return try write(head + payload) }
    try write(head)
    try write(payload)
  }

  func send(_ kind: CloneMessage.Kind, json: some Encodable) throws { try send(kind, JSONValue.encode(json)) }

  private func write(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { bytes in
      var start = 0
      while start < bytes.count {
        let count = Glibc.send(channel, bytes.baseAddress?.advanced(by: start), bytes.count - start, Self.flags)
        if count > 0 {
          start += count
        } else if errno == EAGAIN {
          _ = try wait(Int16(POLLOUT), milliseconds: -1)
        } else if errno != EINTR {
          throw FerryError(.peer, "the other end has closed the channel")
        }
      }
      sent += Int64(bytes.count)
    }
  }

  /// Whether the channel is ready; false when the time is over.
  private func wait(_ events: Int16, milliseconds: Int32) throws -> Bool {
    while true {
      var states = [
        pollfd(fd: channel, events: events, revents: 0), pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      let ready = poll(&states, 2, milliseconds)
      if ready < 0 && errno != EINTR { throw FerryError(errno: errno, "cannot wait for the channel") }
      if cancellation.isCancelled { throw FerryError(.cancelled, "the transfer was cancelled") }
      if ready >= 0 { return states[0].revents != 0 }
    }
  }

  /// The next message; nil if none has begun within the time.
  func receive(milliseconds: Int32) throws -> CloneMessage? {
    if input.count == position {
      guard try wait(Int16(POLLIN), milliseconds: milliseconds) else { return nil }
    }
    return try receive()
  }

  /// The next message.
  func receive() throws -> CloneMessage {
    try fill(5)
    let length = input.withUnsafeBytes { Int(UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: UInt32.self))) }
    guard length >= 1, length <= Self.limit, let kind = CloneMessage.Kind(rawValue: input[position + 4]) else { throw Self.nonsense }
    position += 5
    let payload = try take(length - 1)
    received += Int64(4 + length)
    if kind == .failure {
      throw (try? JSONValue.decode(FerryError.self, from: payload)) ?? Self.nonsense
    }
    return CloneMessage(kind: kind, payload: payload)
  }

  /// The next message, which must be of a kind.
  func receive(_ kind: CloneMessage.Kind) throws -> CloneMessage {
    let message = try receive()
    guard message.kind == kind else { throw Self.nonsense }
    return message
  }

  /// So many bytes: what was read already, and the rest from the channel to its place.
  private func take(_ count: Int) throws -> [UInt8] {
    let ready = min(count, input.count - position)
    defer { position += ready }
    guard ready < count else { return Array(input[position..<position + count]) }
    return try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = buffer.update(fromContentsOf: input[position..<position + ready])
      while filled < count {
        let got = recv(channel, buffer.baseAddress?.advanced(by: filled), count - filled, Int32(MSG_DONTWAIT))
        if got < 0 && (errno == EINTR || errno == EAGAIN) {
          _ = try wait(Int16(POLLIN), milliseconds: -1)
          continue
        }
        guard got > 0 else { throw FerryError(.peer, "the other end has closed the channel") }
        filled += got
      }
    }
  }

  private func fill(_ count: Int) throws {
    while input.count - position < count {
      if position > 1 << 20 || position == input.count {
        input.removeFirst(position)
        position = 0
      }
      _ = try wait(Int16(POLLIN), milliseconds: -1)
      let room = max(1 << 16, count - (input.count - position))
      let before = input.count
      input.append(contentsOf: repeatElement(0, count: room))
      let got = input.withUnsafeMutableBytes { recv(channel, $0.baseAddress?.advanced(by: before), room, 0) }
      let failed = errno
      input.removeLast(room - max(got, 0))
      if got < 0 && (failed == EINTR || failed == EAGAIN) { continue }
      guard got > 0 else { throw FerryError(.peer, "the other end has closed the channel") }
    }
  }
}

/// Numbers in messages.
struct MessageWriter {
  var bytes: [UInt8] = []
  mutating func fixed(_ number: some FixedWidthInteger) { withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) } }
  mutating func digest(_ digest: SetDigest) {
    fixed(digest.count)
    bytes += digest.bytes
  }
  mutating func block(_ content: UnsafeRawBufferPointer) {
    fixed(UInt32(content.count))
    bytes.append(contentsOf: content)
  }
}

/// Numbers out of messages; what is missing is nonsense.
struct MessageReader {
  private let bytes: UnsafeRawBufferPointer
  private var position = 0
  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }
  var isAtEnd: Bool { position == bytes.count }

  mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
    guard count >= 0, count <= bytes.count - position else { throw CloneConnection.nonsense }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }
  mutating func fixed<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) throws -> Number {
    Number(littleEndian: try take(MemoryLayout<Number>.size).loadUnaligned(as: Number.self))
  }
  mutating func digest() throws -> SetDigest {
    let count = try fixed(Int64.self)
    guard count >= 0, let digest = SetDigest(count: count, bytes: try take(32)) else { throw CloneConnection.nonsense }
    return digest
  }
  mutating func block() throws -> UnsafeRawBufferPointer { try take(Int(fixed(UInt32.self))) }
}
