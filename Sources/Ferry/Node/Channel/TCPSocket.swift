import CLinux
import FerrySystem
import Glibc

/// TCP by numeric addresses, IPv4 or IPv6.
enum TCPSocket {
  /// Listens on one address and a port of the system's choice; answers the port.
  static func listen(host: String) throws -> (socket: Descriptor, port: UInt16) {
    try withAddress(host, port: 0) { address, length in
      let socket = try make(address)
      guard bind(socket.number, address, length) == 0, Glibc.listen(socket.number, 64) == 0 else {
        throw FerryError(errno: errno, "cannot listen on \(host)")
      }
      var bound = sockaddr_storage()
      var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let port = try withUnsafeMutablePointer(to: &bound) { pointer in
        try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bound in
          guard getsockname(socket.number, bound, &size) == 0 else { throw FerryError(errno: errno, "cannot listen on \(host)") }
          // The port lies at the same place in both families.
          return UnsafeRawPointer(bound).loadUnaligned(fromByteOffset: 2, as: UInt16.self).bigEndian
        }
      }
      return (socket, port)
    }
  }

  /// Connects within the time, or throws.
  static func connect(host: String, port: UInt16, within limit: Duration) throws -> Descriptor {
    try withAddress(host, port: port) { address, length in
      let socket = try make(address)
      let place = "\(host.contains(":") ? "[\(host)]" : host):\(port)"
      _ = clinux_set_nonblocking(socket.number, 1)
      if Glibc.connect(socket.number, address, length) != 0 {
        guard errno == EINPROGRESS else { throw FerryError(errno: errno, "cannot connect to \(place)") }
        guard wait(socket, for: Int16(POLLOUT), within: limit) else {
          throw FerryError(.peer, "cannot connect to \(place): no answer within \(limit.components.seconds) s")
        }
        var failed: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(socket.number, SOL_SOCKET, SO_ERROR, &failed, &size)
        guard failed == 0 else { throw FerryError(errno: failed, "cannot connect to \(place)") }
      }
      _ = clinux_set_nonblocking(socket.number, 0)
      tune(socket)
      return socket
    }
  }

  /// The next connection; nil within the time none came.
  static func accept(_ listener: Descriptor, within limit: Duration) -> Descriptor? {
    guard wait(listener, for: Int16(POLLIN), within: limit) else { return nil }
    let number = Glibc.accept(listener.number, nil, nil)
    guard number >= 0 else { return nil }
    _ = clinux_set_cloexec(number, 1)
    let socket = Descriptor(number)
    tune(socket)
    return socket
  }

  /// Whether something came within the time.
  static func wait(_ socket: Descriptor, for events: Int16, within limit: Duration) -> Bool {
    let deadline = ContinuousClock.now + limit
    while true {
      var state = pollfd(fd: socket.number, events: events, revents: 0)
      let (seconds, fraction) = ContinuousClock.now.duration(to: deadline).components
      let ready = poll(&state, 1, Int32(clamping: max(0, seconds * 1000 + fraction / 1_000_000_000_000_000)))
      if ready < 0 && errno == EINTR { continue }
      return ready == 1
    }
  }

  private static func make(_ address: UnsafePointer<sockaddr>) throws -> Descriptor {
    let number = socket(Int32(address.pointee.sa_family), Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard number >= 0 else { throw FerryError(errno: errno, "cannot make a socket") }
    return Descriptor(number)
  }

  /// A peer that vanishes without a word is noticed within half a minute, whether anything is under way or not.
  private static func tune(_ socket: Descriptor) {
    func set(_ level: Int32, _ option: Int32, _ value: Int32) {
      var value = value
      setsockopt(socket.number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
    let tcp = Int32(IPPROTO_TCP)
    set(tcp, TCP_NODELAY, 1)
    set(SOL_SOCKET, SO_KEEPALIVE, 1)
    set(tcp, TCP_KEEPIDLE, 10)
    set(tcp, TCP_KEEPINTVL, 5)
    set(tcp, TCP_KEEPCNT, 4)
    set(tcp, TCP_USER_TIMEOUT, 30_000)
  }

  private static func withAddress<Value>(_ host: String, port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Value) throws
    -> Value
  {
    var hints = addrinfo()
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, String(port), &hints, &found) == 0, let first = found, let address = first.pointee.ai_addr else {
      throw FerryError(.invalid, "'\(host)' is no address")
    }
    defer { freeaddrinfo(found) }
    return try body(address, first.pointee.ai_addrlen)
  }
}
