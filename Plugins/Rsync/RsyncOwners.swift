import FerryPluginKit
import FerryTree
import Glibc

/// Owners by the names that they have in a user's rootless containers, where the end says whose: rsync itself sees the folder so.
extension RsyncConfig {
  /// The user's map; nil: owners are what the disk says.
  func owners() throws -> IDMap? { try endpoint.user.map { try IDMap(user: $0) } }

  /// Throws where a folder cannot be seen so.
  func demandOwners(in folder: String) throws {
    guard let user = endpoint.user else { return }
    guard geteuid() == 0 else {
      throw FerryError(
        .precondition, "only root can see \(folder) with the owners of \(user)'s containers", hint: "run as root at this node")
    }
    try showing(folder) {}
  }

  /// Runs work that sees a folder, and fills it, with the user's owners. Nobody else does.
  func showing<Value: Sendable>(_ folder: String, _ work: @escaping @Sendable () throws -> Value) throws -> Value {
    guard let owners = try owners() else { return try work() }
    return try MountView.run([.init(folder, at: folder, owners: owners)], work)
  }

  /// Gives a folder that Ferry has made to the user, or in their view nobody would have it.
  func handOver(_ folder: String) throws {
    guard let owners = try owners() else { return }
    guard let user = owners.onDisk(user: 0), let group = owners.onDisk(group: 0), chown(folder, user, group) == 0 else {
      throw FerryError(errno: errno, "cannot give \(folder) to its user")
    }
  }
}
