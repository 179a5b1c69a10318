import FerrySystem
import Glibc

/// The engines that Ferry speaks with. Podman answers Docker's API as well, and that is what is used of both.
public enum EngineKind: String, Sendable, Codable, CaseIterable {
  case docker, podman

  /// As people write it.
  public var title: String { self == .docker ? "Docker" : "Podman" }
}

/// Where an engine listens.
public struct EngineAddress: Sendable, Hashable, CustomStringConvertible {
  /// A unix socket's path, or nil for an address in the network.
  public let socket: String?
  let host: String

  /// `unix:///run/docker.sock`, the bare path of a socket, or `tcp://127.0.0.1:2375`.
  public init(_ text: String) throws {
    if text.hasPrefix("unix://") || text.hasPrefix("/") {
      let path = text.hasPrefix("/") ? text : String(text.dropFirst(7))
      guard path.hasPrefix("/") else { throw FerryError(.invalid, "'\(text)' names no absolute path of a socket") }
      (socket, host) = (path, "localhost")
    } else if text.hasPrefix("tcp://") {
      let rest = text.dropFirst(6).drop { $0 == "/" }
      let isPlain = rest.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x40 && $0 != 0x2f && $0 != 0x3f && $0 != 0x23 }
      guard !rest.isEmpty, isPlain else { throw FerryError(.invalid, "'\(text)' is no host and port") }
      (socket, host) = (nil, String(rest))
    } else {
      throw FerryError(
        .unsupported, "'\(text)' is no address of an engine that Ferry can speak with", hint: "give unix:///path or tcp://host:port")
    }
  }

  /// As it is written in a manifest.
  public var description: String { socket.map { "unix://\($0)" } ?? "tcp://\(host)" }

  func url(_ path: String) -> String { "http://\(host)\(path)" }

  /// What this user's own command would speak with: the one that the environment names, else the usual places. Or what another user's would.
  static func usual(_ kind: EngineKind, of other: Account? = nil) throws -> [EngineAddress] {
    if let folder = other?.runtimeFolder {
      return [try EngineAddress(kind == .docker ? "\(folder)/docker.sock" : "\(folder)/podman/podman.sock")]
    }
    let environment = Environment.all
    if let named = environment[kind == .docker ? "DOCKER_HOST" : "CONTAINER_HOST"], !named.isEmpty { return [try EngineAddress(named)] }
    var paths: [String] = []
    if geteuid() != 0 {
      let runtime = Environment.runtimeFolder
      paths.append(kind == .docker ? "\(runtime)/docker.sock" : "\(runtime)/podman/podman.sock")
    }
    if kind == .docker { paths.append("/var/run/docker.sock") } else if geteuid() == 0 { paths.append("/run/podman/podman.sock") }
    return try paths.map { try EngineAddress($0) }
  }

  /// Whether somebody listens there.
  var answers: Bool { (try? connected()) != nil }

  /// A connection to its socket.
  func connected() throws -> Descriptor {
    guard let socket else { throw FerryError(.unsupported, "\(self) is no socket of this machine") }
    let connection = Descriptor(Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(socket.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw FerryError(.invalid, "\(socket) is too long for a socket")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let failed = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(connection.number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard failed == 0 else { throw FerryError(errno: errno, "cannot reach \(self)") }
    return connection
  }
}
