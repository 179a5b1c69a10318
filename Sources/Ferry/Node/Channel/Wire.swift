import CLinux
import CTLS
import FerrySystem
import Glibc

/// A byte stream to the other node. Calls block; one thread writes and one reads, and `cut` from any thread ends both.
protocol Wire: Sendable {
  /// Writes all of it.
  func write(_ bytes: UnsafeRawBufferPointer) throws
  /// Fills the buffer; throws if the stream ends before.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws
  func cut()
}

/// What comes off a wire that ends, or that somebody meddled with.
enum ChannelFailure {
  static let code = "channel-broken"

  static func error(_ what: String) -> FerryError {
    FerryError(.peer, "the channel to the other node \(what)", hint: "`ferry resume` copies the item again", code: code)
  }
}

/// A stream that something else protects: the unix socket of one machine, or ssh.
final class PlainWire: Wire {
  private let socket: Descriptor

  init(_ socket: Descriptor) { self.socket = socket }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard Sockets.send(socket.number, bytes) else { throw ChannelFailure.error("is gone") }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws {
    var rest = buffer
    while !rest.isEmpty {
      let got = Glibc.read(socket.number, rest.baseAddress, rest.count)
      if got < 0 && errno == EINTR { continue }
      guard got > 0 else { throw ChannelFailure.error("ended too early") }
      rest = .init(rebasing: rest[got...])
    }
  }

  func cut() { _ = shutdown(socket.number, Int32(SHUT_RDWR)) }
}

/// A TCP connection of a direct channel, after its handshake. Carries bytes one way: either `write` is called on it or `read`.
final class TLSWire: Wire, @unchecked Sendable {
  /// What the dialler called it.
  let name: String
  private let socket: Descriptor
  private let session: OpaquePointer

  /// Dials under a name, or answers. Throws unless the other end has shown within the time that it has the key, and been shown the same.
  init(_ socket: Descriptor, key: [UInt8], dialling name: String?, within limit: Duration) throws {
    guard key.count == Int(CTLS_KEY_BYTES), let made = name.map({ ctls_dial(socket.number, key, $0) }) ?? ctls_answer(socket.number, key)
    else {
      throw FerryError(.internal, "TLS cannot be set up")
    }
    SignalMask.blockPipe()
    let (seconds, fraction) = limit.components
    guard ctls_handshake(made, seconds * 1000 + fraction / 1_000_000_000_000_000) == 0 else {
      ctls_free(made)
      throw FerryError(.peer, "the handshake failed: what answers there does not have the channel's key")
    }
    self.socket = socket
    self.session = made
    self.name = String(cString: ctls_name(made))
  }

  deinit { ctls_free(session) }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard ctls_write(session, bytes.baseAddress, UInt64(bytes.count)) == 0 else { throw ChannelFailure.error("is gone") }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer) throws {
    guard ctls_read(session, buffer.baseAddress, UInt64(buffer.count)) == 1 else {
      throw ChannelFailure.error("ended too early, or was meddled with")
    }
  }

  func cut() { _ = shutdown(socket.number, Int32(SHUT_RDWR)) }
}

enum SignalMask {
  /// On this thread a write to an end that is gone is an error and no signal, whatever the process does with signals.
  static func blockPipe() {
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &set, nil)
  }
}

enum Sockets {
  /// Lets a socket hold so many bytes that were sent, as far as the system allows.
  static func widen(_ socket: Int32, to bytes: Int) {
    var value = Int32(clamping: bytes)
    let length = socklen_t(MemoryLayout<Int32>.size)
    if setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &value, length) != 0 { setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &value, length) }
  }

  /// Sends all of it; false once the other end is gone. Never a signal.
  static func send(_ socket: Int32, _ bytes: UnsafeRawBufferPointer) -> Bool {
    var rest = bytes
    while !rest.isEmpty {
      let sent = clinux_send_fds(socket, rest.baseAddress, UInt64(rest.count), nil, 0)
      guard sent >= 0 else { return false }
      rest = .init(rebasing: rest[Int(sent)...])
    }
    return true
  }
}
