import FerrySystem
import Glibc

/// Passes bytes on between two ends, and does something once so many have gone from the first to the second: a moment in the middle of a
/// transfer, whatever the machine's speed. Both wait while it is done.
public final class TestRelay: Sendable {
  private let passed = Lock<(bytes: Int, action: (@Sendable () -> Void)?)>((0, nil))
  private let mark: Int
  private let over = Lock(false)

  /// After `mark` bytes `action` is done.
  public init(after mark: Int, _ action: @escaping @Sendable () -> Void) {
    self.mark = mark
    passed.withLock { $0.action = action }
  }

  /// Whether it was begun. An end that it closes may be told before it is done.
  public var isDone: Bool { passed.withLock { $0.action == nil } }
  /// Whether it was done to its end.
  public var isOver: Bool { over.withLock { $0 } }

  /// Joins two sockets until either closes.
  public func join(_ one: Descriptor, _ two: Descriptor) {
    for (from, to, counts) in [(one, two, true), (two, one, false)] {
      Threads.detach { [self] in
        while let bytes = try? from.read(upTo: 65536), !bytes.isEmpty {
          if counts { count(bytes.count) }
          guard Self.send(bytes, to) else { break }
        }
        shutdown(to.number, Int32(SHUT_WR))
      }
    }
  }

  /// Not `write`: an end that is gone is no signal.
  private static func send(_ bytes: [UInt8], _ socket: Descriptor) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let sent = rest.withUnsafeBytes { Glibc.send(socket.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard sent > 0 || errno == EINTR else { return false }
      rest = rest.dropFirst(max(0, sent))
    }
    return true
  }

  private func count(_ bytes: Int) {
    let action = passed.withLock { passed in
      passed.bytes += bytes
      guard passed.bytes >= mark else { return (@Sendable () -> Void)?.none }
      defer { passed.action = nil }
      return passed.action
    }
    guard let action else { return }
    action()
    over.withLock { $0 = true }
  }

  /// Listens at a port of its own and joins whoever comes with a port of this machine. Returns the port; listens as long as the process lives.
  public func listen(before port: UInt16) throws -> UInt16 {
    let listener = Descriptor(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
    let own = try Self.bind(listener, 0)
    guard Glibc.listen(listener.number, 16) == 0 else { throw FerryError(errno: errno, "cannot listen") }
    Threads.detach { [self] in
      while case let client = accept(listener.number, nil, nil), client >= 0 {
        let server = Descriptor(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
        var address = Self.address(port)
        let failed = withUnsafePointer(to: &address) { pointer in
          pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(server.number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
          }
        }
        if failed == 0 { join(Descriptor(client), server) } else { close(client) }
      }
    }
    return own
  }

  /// A port that was free a moment ago.
  public static func freePort() throws -> UInt16 { try bind(Descriptor(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)), 0) }

  private static func address(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
  }

  private static func bind(_ socket: Descriptor, _ port: UInt16) throws -> UInt16 {
    var address = address(port)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let found = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.bind(socket.number, $0, length) == 0 && getsockname(socket.number, $0, &length) == 0
      }
    }
    guard found else { throw FerryError(errno: errno, "there is no free port") }
    return UInt16(bigEndian: address.sin_port)
  }
}
