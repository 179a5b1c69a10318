import CLinux
import Glibc

/// Newline-delimited messages over a stream, with descriptors beside them where the stream is a unix socket.
/// One thread reads; any thread writes.
public final class LineConnection: Sendable {
  private let input: Descriptor
  private let output: Descriptor
  private let writing = Lock(())
  private let reading: Lock<Buffer>
  private let limit: Int

  private struct Buffer {
    var bytes: [UInt8] = []
    var searched = 0
    var descriptors: [Descriptor] = []
  }

  /// A connection over two ends (the same one twice for a socket). A line longer than `limit` bytes ends the connection.
  public init(input: Descriptor, output: Descriptor, limit: Int = 16 << 20) {
    self.input = input
    self.output = output
    self.limit = limit
    reading = Lock(Buffer())
  }

  /// Sends one line; descriptors go with its first byte. The caller keeps its descriptors.
  public func send(_ line: [UInt8], descriptors: [Int32] = []) throws {
    try writing.withLock { _ in
      var rest = (line + [10])[...]
      var beside = descriptors
      while !rest.isEmpty {
        // Not write: a peer that is gone is an error here and no SIGPIPE, whatever the embedding process does with signals.
        let sent = rest.withUnsafeBytes { clinux_send_fds(output.number, $0.baseAddress, UInt64($0.count), beside, Int32(beside.count)) }
        if sent == Int64(-ENOTSOCK), descriptors.isEmpty { return try output.write(Array(rest)) }
        guard sent >= 0 else { throw FerryError(errno: Int32(-sent), "cannot write") }
        rest = rest.dropFirst(Int(sent))
        beside = []
      }
    }
  }

  /// The next line and the descriptors that came up to its end; nil when the other side is gone.
  public func receive() throws -> (line: [UInt8], descriptors: [Descriptor])? {
    try reading.withLock { buffer in
      while true {
        if let end = buffer.bytes[buffer.searched...].firstIndex(of: 10) {
          let line = Array(buffer.bytes[..<end])
          buffer.bytes.removeFirst(end + 1)
          buffer.searched = 0
          defer { buffer.descriptors = [] }
          return (line, buffer.descriptors)
        }
        buffer.searched = buffer.bytes.count
        guard buffer.bytes.count <= limit else { throw FerryError(.peer, "a message is longer than \(limit) bytes") }
        guard try fill(&buffer) else { return nil }
      }
    }
  }

  /// Ends both directions: a reader on either side sees the end.
  public func shutdown() {
    _ = Glibc.shutdown(input.number, Int32(SHUT_RDWR))
    _ = Glibc.shutdown(output.number, Int32(SHUT_RDWR))
  }

  /// Closes the write end, so that a child that reads its stdin to the end ends.
  public func close() {
    shutdown()
    output.close()
  }

  private func fill(_ buffer: inout Buffer) throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65536)
    var numbers = [Int32](repeating: -1, count: 16)
    var count: Int32 = 0
    var got = clinux_receive_fds(input.number, &chunk, UInt64(chunk.count), &numbers, &count)
    if got == Int64(-ENOTSOCK) {
      repeat { got = Int64(Glibc.read(input.number, &chunk, chunk.count)) } while got < 0 && errno == EINTR
      if got < 0 { got = Int64(-errno) }
    }
    buffer.descriptors += numbers.prefix(Int(count)).map { Descriptor($0) }
    if got == 0 || got == Int64(-ECONNRESET) { return false }
    guard got > 0 else { throw FerryError(errno: Int32(-got), "cannot read") }
    buffer.bytes.append(contentsOf: chunk[..<Int(got)])
    return true
  }
}
