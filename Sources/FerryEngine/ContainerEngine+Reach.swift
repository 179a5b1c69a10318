import CLinux
import FerrySystem
import Glibc

extension ContainerEngine {
  /// The process that listens at the engine's socket, and its user.
  public struct Peer: Sendable, Hashable {
    /// Its id.
    public let process: Int32
    /// Whose it is.
    public let user: UInt32

    /// Whether it is in another user namespace than this process.
    public var isInOtherUserNamespace: Bool {
      ContainerEngine.namespace("user", of: "\(process)") != ContainerEngine.namespace("user", of: "self")
    }
  }

  /// Whoever listens at the engine's socket; nil where that is no process of this machine.
  public var peer: Peer? {
    guard let connection = try? client.address.connected() else { return nil }
    var pid: Int32 = 0
    var user: UInt32 = 0
    // A socket that systemd holds for the engine says "systemd", which sees what the machine sees.
    guard clinux_peer(connection.number, &pid, &user) == 0, pid > 0 else { return nil }
    return Peer(process: pid, user: user)
  }

  /// Whether the engine sees the same files as this process, as the same users: then its folders can be read and written as they are.
  public var sharesFiles: Bool {
    guard geteuid() == 0, !info.isRootless, let peer, peer.user == 0 else { return false }
    return Self.namespace("mnt", of: "\(peer.process)").map { $0 == Self.namespace("mnt", of: "self") } ?? false
  }

  /// Whether a folder of the engine's is the same one for this process, which may do there as it likes. Of a rootless engine that is so for root,
  /// and for its own user in the engine's user namespace (`podman unshare`).
  public func shares(_ folder: String) -> Bool {
    guard geteuid() == 0, Files.isFolder(folder) else { return false }
    guard info.isRootless else { return sharesFiles }
    guard let peer, let own = Self.identity(folder) else { return false }
    return own == Self.identity("/proc/\(peer.process)/root\(folder)")
  }

  private static func identity(_ path: String) -> [UInt64]? {
    var status = stat()
    return stat(path, &status) == 0 ? [UInt64(status.st_dev), UInt64(status.st_ino)] : nil
  }

  private static func namespace(_ kind: String, of process: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 64)
    let length = readlink("/proc/\(process)/ns/\(kind)", &buffer, buffer.count - 1)
    return length > 0 ? String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
  }
}
