import Glibc

/// What the two ends of an item tell each other on a channel before and between what they move: one line of JSON each. Secrets may travel here:
/// a channel is private, an offer is not.
extension ProviderContext {
  /// Sends one message.
  public func tell(_ message: some Encodable, on channel: Int32) throws {
    let bytes = try JSONValue.encode(message) + [10]
    var start = 0
    while start < bytes.count {
      try wait(channel, POLLOUT)
      let sent = bytes.withUnsafeBytes {
        Glibc.send(channel, $0.baseAddress?.advanced(by: start), bytes.count - start, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      }
      if sent < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard sent >= 0 else { throw FerryError(.peer, "the other end closed the channel") }
      start += sent
    }
  }

  /// Receives one message of that type, of at most `limit` bytes, and reads nothing that follows it.
  public func hear<Message: Decodable>(_ type: Message.Type = Message.self, on channel: Int32, limit: Int = 1 << 20) throws -> Message {
    guard let line = try hearLine(on: channel, limit: limit) else { throw FerryError(.peer, "the other end closed the channel") }
    do { return try JSONValue.decode(type, from: line) } catch {
      throw FerryError(.peer, "the other end said what is no message of the provider's")
    }
  }

  /// Receives one line, or nil at the end of the stream.
  public func hearLine(on channel: Int32, limit: Int = 1 << 20) throws -> [UInt8]? {
    var line: [UInt8] = []
    var ahead = [UInt8](repeating: 0, count: 4096)
    while true {
      try wait(channel, POLLIN)
      // Looked at first: what follows the line is for somebody else to read.
      let seen = recv(channel, &ahead, ahead.count, Int32(MSG_PEEK))
      if seen < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard seen > 0 else { return nil }
      let end = ahead[..<seen].firstIndex(of: 10)
      let taken = recv(channel, &ahead, end.map { $0 + 1 } ?? seen, 0)
      guard taken > 0 else { return nil }
      if end != nil { return line + ahead[..<(taken - 1)] }
      line += ahead[..<taken]
      guard line.count < limit else { throw FerryError(.peer, "the other end's message has no end") }
    }
  }

  private func wait(_ channel: Int32, _ events: Int32) throws {
    var states = [
      pollfd(fd: channel, events: Int16(events), revents: 0), pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0),
    ]
    while poll(&states, 2, -1) < 0 { guard errno == EINTR else { throw FerryError(errno: errno, "cannot wait for the channel") } }
    try checkCancellation()
  }
}
