import FerrySystem
import Glibc

/// The channel of a pass as a library sees it: a plain stream that ends. A library that was never written for Ferry takes the end of a file
/// for success, so here it is one: the bytes travel in blocks (4 bytes of length, big endian), and the last one, empty, comes only when the
/// sender's steps have succeeded, with the sum of all bytes in 8 more.
final class DescriptorStream: Sendable {
  private static let largest = 1 << 18

  /// The library's end.
  let end: Descriptor
  private let near: Descriptor
  private let channel: Descriptor
  private let isSending: Bool
  private let onBytes: @Sendable (UInt64) -> Void
  private let over = Signal()
  private struct State {
    var bytes: UInt64 = 0
    var isFinished = false
    var failure: FerryError?
  }
  private let state = Lock(State())

  /// Begins at once. The channel stays the caller's.
  init(_ channel: Descriptor, isSending: Bool, onBytes: @escaping @Sendable (UInt64) -> Void) throws {
    self.channel = channel
    self.isSending = isSending
    self.onBytes = onBytes
    (near, end) = try Descriptor.socketPair()
    Threads.detach { [self] in
      do { try isSending ? send() : receive() } catch {
        state.withLock { $0.failure = FerryError.wrap(error) }
        // The library must not wait for what nobody reads or writes any more.
        shutdown(near.number, Int32(SHUT_RDWR))
      }
      over.raise()
    }
  }

  /// The sum of bytes so far.
  var bytes: UInt64 { state.withLock { $0.bytes } }

  /// The library's steps have succeeded: all that was written is sent, or the sender's own end is waited for.
  func finish() throws {
    shutdown(end.number, Int32(isSending ? SHUT_WR : SHUT_RDWR))
    over.wait()
    over.raise()
    end.close()
    if let failure = state.withLock({ $0.failure }) { throw failure }
    if isSending {
      var sum = bytes.bigEndian
      do { try channel.write([0, 0, 0, 0] + withUnsafeBytes(of: &sum) { Array($0) }) } catch {
        throw Self.broken(FerryError.wrap(error).message)
      }
    }
    state.withLock { $0.isFinished = true }
  }

  /// They have not, or somebody has cancelled them.
  func abandon() { shutdown(channel.number, Int32(SHUT_RDWR)) }

  /// What went wrong with the channel, if that was it.
  var failure: FerryError? { state.withLock { $0.failure } }

  /// Unless it is finished: breaks it off, and waits until nothing of it is at work.
  func close() {
    if state.withLock({ $0.isFinished }) { return }
    shutdown(end.number, Int32(SHUT_RDWR))
    shutdown(channel.number, Int32(SHUT_RDWR))
    over.wait()
    over.raise()
    end.close()
  }

  private func count(_ more: Int) {
    onBytes(
      state.withLock { state in
        state.bytes += UInt64(more)
        return state.bytes
      })
  }

  private func send() throws {
    while true {
      let bytes = try near.read(upTo: Self.largest)
      if bytes.isEmpty { return }
      var length = UInt32(bytes.count).bigEndian
      do { try channel.write(withUnsafeBytes(of: &length) { Array($0) } + bytes) } catch {
        throw Self.broken(FerryError.wrap(error).message)
      }
      count(bytes.count)
    }
  }

  private func receive() throws {
    var isWanted = true
    while true {
      let header = try exactly(4)
      let length = header.reduce(0) { $0 << 8 | Int($1) }
      guard length <= Self.largest else { throw Self.broken("it carries no blocks of a descriptor's stream") }
      if length == 0 { break }
      let bytes = try exactly(length)
      count(length)
      // A library may know the end of its data before the stream has ended: the rest is read all the same.
      if isWanted { isWanted = (try? near.write(bytes)) != nil }
    }
    let sum = try exactly(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard sum == bytes else { throw Self.broken("\(bytes) bytes came of \(sum)") }
    shutdown(near.number, Int32(SHUT_WR))
  }

  private func exactly(_ count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let more: [UInt8]
      do { more = try channel.read(upTo: count - bytes.count) } catch { throw Self.broken(FerryError.wrap(error).message) }
      if more.isEmpty { throw Self.broken("it ended before the sender had said that all was sent") }
      bytes += more
    }
    return bytes
  }

  private static func broken(_ what: String) -> FerryError { FerryError(.peer, "the channel broke: \(what)") }
}
