import FerryPluginKit
import Glibc

/// Lets requests of the SFTP protocol (version 3) through to a server if they are about one folder, and ends the stream at the first that is
/// not: the source may do to the repository what it likes, and to nothing else of this node.
struct SFTPGate: Sendable {
  /// Absolute, without `.` and `..`.
  let folder: String

  private enum Kind: UInt8 {
    case hello = 1
    case open = 3
    case close, read, write, lstat, fstat, setstat, fsetstat, opendir, readdir, remove, mkdir, rmdir, realpath, stat, rename
    case extended = 200

    /// How many paths its body begins with, after the request's number.
    var paths: Int {
      switch self {
      case .hello, .close, .read, .write, .fstat, .fsetstat, .readdir, .extended: 0
      case .open, .lstat, .setstat, .opendir, .remove, .mkdir, .rmdir, .realpath, .stat: 1
      case .rename: 2
      }
    }
  }

  /// Extensions by how many paths they name. Links are not among them: one could lead out.
  private static let extensions = [
    "posix-rename@openssh.com": 2, "statvfs@openssh.com": 1, "fsync@openssh.com": 0, "fstatvfs@openssh.com": 0, "limits@openssh.com": 0,
  ]

  /// OpenSSH's own limit of a message.
  private static let longest = 256 << 10

  /// Passes bytes on until their end.
  func pass(from channel: Int32, to server: Descriptor, until cancellation: Cancellation) throws {
    var buffer: [UInt8] = []
    while true {
      var states = [channel, cancellation.descriptor].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      if poll(&states, 2, -1) < 0 && errno != EINTR { throw FerryError(errno: errno, "cannot wait for the source") }
      if states[1].revents != 0 { throw FerryError(.cancelled, "the repository's server was cancelled") }
      guard states[0].revents != 0 else { continue }
      var chunk = [UInt8](repeating: 0, count: 128 << 10)
      let count = recv(channel, &chunk, chunk.count, 0)
      if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard count > 0 else {
        guard buffer.isEmpty else { throw FerryError(.peer, "the source ended in the middle of a request") }
        return
      }
      buffer += chunk.prefix(count)
      let whole = try check(buffer)
      // The server is gone: it says why itself.
      guard whole > 0, (try? server.write(Array(buffer[..<whole]))) != nil || whole == 0 else {
        if whole == 0 { continue }
        return
      }
      buffer.removeFirst(whole)
    }
  }

  /// Looks at all whole requests; answers how many bytes they are.
  func check(_ bytes: [UInt8]) throws -> Int {
    var start = 0
    while bytes.count - start >= 5 {
      let length = Self.number(bytes, start)
      guard length >= 1, length <= Self.longest else { throw Self.refused("a request of \(length) bytes") }
      guard bytes.count - start - 4 >= length else { break }
      try check(bytes[(start + 4)..<(start + 4 + length)])
      start += 4 + length
    }
    return start
  }

  private func check(_ request: ArraySlice<UInt8>) throws {
    var rest = request
    guard let first = rest.popFirst(), let kind = Kind(rawValue: first) else {
      throw Self.refused("request \(request.first ?? 0) of SFTP")
    }
    if kind == .hello { return }
    rest = rest.dropFirst(4)
    var paths = kind.paths
    if kind == .extended {
      let name = String(decoding: try Self.text(&rest), as: UTF8.self)
      guard let known = Self.extensions[name] else { throw Self.refused("the extension \(name.prefix(60)) of SFTP") }
      paths = known
    }
    for _ in 0..<paths { try check(path: try Self.text(&rest)) }
  }

  private func check(path bytes: [UInt8]) throws {
    let path = String(decoding: bytes, as: UTF8.self)
    let isBelow = path == folder || path.hasPrefix("\(folder)/")
    guard isBelow, !path.split(separator: "/").contains(where: { $0 == ".." || $0 == "." }), !bytes.contains(0) else {
      throw Self.refused("\(path.prefix(200)), which is not in the repository \(folder)")
    }
  }

  private static func text(_ rest: inout ArraySlice<UInt8>) throws -> [UInt8] {
    guard rest.count >= 4 else { throw refused("a request that ends early") }
    let length = number(Array(rest.prefix(4)), 0)
    guard rest.count >= 4 + length else { throw refused("a request that ends early") }
    defer { rest = rest.dropFirst(4 + length) }
    return Array(rest.dropFirst(4).prefix(length))
  }

  private static func number(_ bytes: [UInt8], _ at: Int) -> Int { (0..<4).reduce(0) { $0 << 8 | Int(bytes[at + $1]) } }

  private static func refused(_ what: String) -> FerryError {
    FerryError(.peer, "the source asked for \(what); the channel was closed", hint: "only the repository is open to it")
  }
}
