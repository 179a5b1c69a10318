import FerrySystem
import Glibc

/// One channel: blocks go out whole, from any thread, and come in on one.
final class TreeWire: @unchecked Sendable {
  private let channel: Int32
  private let cancellation: Cancellation?
  private let turn = Lock(())

  init(_ channel: Int32, _ cancellation: Cancellation?) {
    self.channel = channel
    self.cancellation = cancellation
  }

  /// Ends both directions: whoever waits at either end goes on.
  func abort() { shutdown(channel, Int32(SHUT_RDWR)) }

  func send(_ block: TreeBlock) throws {
    block.base.storeBytes(of: UInt32(block.position - TreeBlock.header).littleEndian, as: UInt32.self)
    block.base.storeBytes(of: block.lane.littleEndian, toByteOffset: 4, as: UInt16.self)
    block.base.storeBytes(of: UInt16(block.use.rawValue).littleEndian, toByteOffset: 6, as: UInt16.self)
    block.base.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
    try turn.withLock { _ in
      var sent = 0
      while sent < block.position {
        let count = Glibc.send(channel, block.base + sent, block.position - sent, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        if count > 0 {
          sent += count
        } else if count < 0, errno == EAGAIN || errno == EWOULDBLOCK {
          try wait(for: POLLOUT)
        } else if count < 0, errno == EINTR {
          continue
        } else {
          throw Self.lost
        }
      }
    }
  }

  /// Fills a block with the next one of the peer. What its header says is believed only within bounds.
  func receive(into block: TreeBlock) throws {
    try fill(block.base, TreeBlock.header)
    let length = Int(UInt32(littleEndian: block.base.load(as: UInt32.self)))
    let use = UInt16(littleEndian: block.base.load(fromByteOffset: 6, as: UInt16.self))
    guard length <= TreeBlock.capacity - TreeBlock.header, let known = TreeBlock.Use(rawValue: UInt8(truncatingIfNeeded: use)), use < 256
    else {
      throw FerryError(.peer, "the other end of the channel does not speak as a tree's end does")
    }
    block.use = known
    block.lane = UInt16(littleEndian: block.base.load(fromByteOffset: 4, as: UInt16.self))
    block.position = TreeBlock.header
    block.end = TreeBlock.header + length
    try fill(block.base + TreeBlock.header, length)
  }

  private func fill(_ start: UnsafeMutableRawPointer, _ length: Int) throws {
    var got = 0
    while got < length {
      let count = recv(channel, start + got, length - got, Int32(MSG_DONTWAIT))
      if count > 0 {
        got += count
      } else if count < 0, errno == EAGAIN || errno == EWOULDBLOCK {
        try wait(for: POLLIN)
      } else if count < 0, errno == EINTR {
        continue
      } else {
        throw Self.lost
      }
    }
  }

  private func wait(for events: Int32) throws {
    var states = [pollfd(fd: channel, events: Int16(events), revents: 0), pollfd(fd: -1, events: Int16(POLLIN), revents: 0)]
    if let cancellation { states[1].fd = cancellation.descriptor }
    if poll(&states, 2, -1) < 0 && errno != EINTR { throw FerryError(errno: errno, "cannot wait for the channel") }
    if cancellation?.isCancelled == true { throw FerryError(.cancelled, "the pass was cancelled") }
  }

  static let lost = FerryError(.peer, "the other end closed the channel in the middle of a pass", hint: "its own error says why")
}

/// What the ends say to each other before, between and after the lanes, as JSON.
enum TreeWords {
  static let version = 2
  /// A row of the table of what the receiver has: key, leaf, and a number for the file where that has other names, else 0.
  static let row = 32

  /// Sender: what it believes that the receiver has.
  struct Hello: Codable {
    var version: Int
    var pass: Int
    var isFinal: Bool
    var lanes: Int
    var form: TreeForm
    var seed: UInt64
    var belief: Belief
    /// The receiver's process that the sender's block hashes are shared with.
    var partner: UInt64
  }
  /// Receiver: whether it is so. If not, what it has follows.
  struct Answer: Codable {
    var version: Int
    var seed: UInt64
    var agrees: Bool
    var partner: UInt64
  }
  /// Receiver, after all lanes: what it has now. What it removed went before.
  struct Done: Codable {
    var belief: Belief
    var changed: Int64
    var bytes: Int64
  }
  /// What the receiver has, as a tracked digest counts it.
  struct Belief: Codable, Equatable {
    var count: Int
    var low: UInt64
    var high: UInt64

    init(_ index: TreeIndex, _ links: TreeLinks) {
      var total = index.total
      total.sum += links.total.sum
      (count, low, high) = (total.count, total.sum.low, total.sum.high)
    }
  }

  static func send(_ words: some Encodable, on wire: TreeWire) throws {
    let block = TreeBlock()
    block.reset(.control)
    try JSONValue.encode(words).withUnsafeBytes { block.append($0) }
    try wire.send(block)
  }

  static func parse<Words: Decodable>(_ type: Words.Type, _ block: TreeBlock) throws -> Words {
    guard block.use == .control else { throw FerryError(.peer, "the other end of the channel does not speak as a tree's end does") }
    do {
      return try JSONValue.decode(
        type, from: Array(UnsafeRawBufferPointer(start: block.base + block.position, count: block.end - block.position)))
    } catch { throw FerryError(.peer, "the other end of the channel does not speak as a tree's end does") }
  }

  static func receive<Words: Decodable>(_ type: Words.Type, on wire: TreeWire) throws -> Words {
    let block = TreeBlock()
    try wire.receive(into: block)
    return try parse(type, block)
  }
}
