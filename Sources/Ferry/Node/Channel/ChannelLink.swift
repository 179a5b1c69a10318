import CLinux
import FerrySystem
import Glibc

/// Meets the other end on the same machine: a unix socket in a folder that only this user may enter.
final class ChannelListener: Sendable {
  let address: LinkPoint
  private let socket: Descriptor

  init(below home: String) throws {
    let name = Hex.random(8)
    let folder = ChannelLink.folder(home: home, name: name)
    try Files.makeFolder(folder)
    address = LinkPoint(name: name, folder: folder, token: Hex.random(32))
    socket = try UnixSocket.listen(folder: folder)
  }

  deinit { close() }

  /// Waits for the other end. A stranger, or one that stalls, is turned away and the wait goes on.
  func accept(timeout: Duration) throws -> Descriptor {
    defer { close() }
    let deadline = ContinuousClock.now + timeout
    while true {
      let left = ContinuousClock.now.duration(to: deadline)
      guard left > .zero, UnixSocket.isReadable(socket, within: left) else {
        throw FerryError(.peer, "the other end of the channel did not come within \(timeout.components.seconds) s")
      }
      let number = Glibc.accept(socket.number, nil, nil)
      guard number >= 0 else { continue }
      _ = clinux_set_cloexec(number, 1)
      let candidate = Descriptor(number)
      var shown: [UInt8] = []
      while shown.count < address.token.utf8.count, UnixSocket.isReadable(candidate, within: .seconds(5)),
        let more = try? candidate.read(upTo: address.token.utf8.count - shown.count), !more.isEmpty
      {
        shown += more
      }
      if shown == Array(address.token.utf8) { return candidate }
    }
  }

  private func close() {
    socket.close()
    try? Files.remove(address.folder)
  }
}

enum ChannelLink {
  static func folder(home: String, name: String) -> String { "\(home)/links/\(name)" }

  /// Reaches a node's end that listens; the token is still to be shown.
  static func open(home: String, name: String) throws -> Descriptor {
    guard !name.isEmpty,
      name.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0 })
    else {
      throw FerryError(.invalid, "'\(name.prefix(64))' is no channel")
    }
    return try UnixSocket.connect(folder: folder(home: home, name: name))
  }

  /// Dials an end that listens.
  static func connect(_ address: LinkPoint) throws -> Descriptor {
    let socket = try UnixSocket.connect(folder: address.folder)
    try socket.write(Array(address.token.utf8))
    return socket
  }
}

/// Unix sockets in folders of any depth: the address of a socket holds 107 bytes only, so the folder goes in as a descriptor.
private enum UnixSocket {
  static func listen(folder: String) throws -> Descriptor {
    let socket = try make()
    try withAddress(folder) { address, length in
      guard bind(socket.number, address, length) == 0, Glibc.listen(socket.number, 4) == 0 else {
        throw FerryError(errno: errno, "cannot listen in \(folder)")
      }
    }
    return socket
  }

  static func connect(folder: String) throws -> Descriptor {
    let socket = try make()
    try withAddress(folder) { address, length in
      guard Glibc.connect(socket.number, address, length) == 0 else {
        throw FerryError(errno: errno, "cannot reach the channel in \(folder)")
      }
    }
    return socket
  }

  static func isReadable(_ descriptor: Descriptor, within duration: Duration) -> Bool {
    var state = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
    return poll(&state, 1, duration.inMilliseconds) == 1
  }

  private static func make() throws -> Descriptor {
    let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard number >= 0 else { throw FerryError(errno: errno, "cannot make a socket") }
    return Descriptor(number)
  }

  private static func withAddress(_ folder: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws -> Void) throws {
    let place = try Descriptor.open(folder, O_RDONLY | O_DIRECTORY)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let path = "/proc/self/fd/\(place.number)/link"
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    try withUnsafePointer(to: address) { pointer in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { try body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
  }
}
