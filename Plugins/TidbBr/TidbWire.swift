import FerryPluginKit
import Glibc

/// What the ends tell each other during a pass: lines of JSON, with beats between them. Accounts carry password hashes, so they travel here
/// and not in the offer. Each end reads all that the other sends: the source has the last word.
final class TidbWire: @unchecked Sendable {
  /// Source to destination, once the backup is there.
  struct Backup: Codable {
    var storage: String
    var tool: String
    var backupTS: UInt64
    var tables: [Counted]
    /// Of the scope, now: TiCDC brings those that are made after the snapshot.
    var present: [TableName]?
    var accounts: [AccountCopy.Account]
    var parameters: [String: String]
  }
  struct Counted: Codable, Equatable {
    var table: TableName
    var keys: Int64
  }
  /// Destination to source, once all of it is restored and counted.
  struct Restored: Codable { var tables: Int }
  private struct Line: Codable {
    var beat: Bool?
    var backup: Backup?
    var restored: Restored?
    var end: Bool?
  }

  private let channel: Int32
  private let context: ProviderContext
  private let turn = Lock(())
  private var pending: [UInt8] = []

  init(_ channel: Int32, _ context: ProviderContext) { (self.channel, self.context) = (channel, context) }

  func send(_ backup: Backup) throws { try write(Line(backup: backup)) }
  func send(_ restored: Restored) throws { try write(Line(restored: restored)) }
  func sendEnd() throws { try write(Line(end: true)) }

  /// Gives word to the other end while this one works.
  func beating() -> Heartbeat { Heartbeat(context) { [self] in try? write(Line(beat: true)) } }

  func backup() throws -> Backup { try receive { $0.backup } }
  func restored() throws -> Restored { try receive { $0.restored } }
  func end() throws { _ = try receive { $0.end } }

  private func write(_ line: Line) throws {
    let bytes = try JSONValue.encode(line) + [10]
    try turn.withLock { _ in
      var start = 0
      while start < bytes.count {
        let sent = bytes.withUnsafeBytes {
          Glibc.send(channel, $0.baseAddress?.advanced(by: start), bytes.count - start, Int32(MSG_NOSIGNAL))
        }
        if sent < 0 && errno == EINTR { continue }
        guard sent >= 0 else { throw FerryError(.peer, "the other end closed the channel") }
        start += sent
      }
    }
  }

  private func receive<Message>(_ pick: (Line) -> Message?) throws -> Message {
    let cancellation = context.cancellation
    var beats: Int64 = 0
    while true {
      while let end = pending.firstIndex(of: 10) {
        let line: Line
        do { line = try JSONValue.decode(Line.self, from: Array(pending[..<end])) } catch {
          throw FerryError(.peer, "the other end said what is no line of this provider")
        }
        pending.removeFirst(end + 1)
        if let message = pick(line) { return message }
        beats += 1
        context.progress(bytes: 0, entries: beats)
      }
      var states = [
        pollfd(fd: channel, events: Int16(POLLIN), revents: 0), pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      if poll(&states, 2, -1) < 0 && errno != EINTR { throw FerryError(errno: errno, "cannot wait for the channel") }
      try context.checkCancellation()
      guard states[0].revents != 0 else { continue }
      var buffer = [UInt8](repeating: 0, count: 65536)
      let count = recv(channel, &buffer, buffer.count, 0)
      if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard count > 0, pending.count < 256 << 20 else {
        throw FerryError(.peer, "the other end closed the channel before its part was done")
      }
      pending += buffer[..<count]
    }
  }
}
