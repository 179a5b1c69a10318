import FerryPluginKit
import FerryTree
import Glibc

/// A module of NethServer 8 on this node, laid out as NethServer's own backups are: its state folder is `state`, and Podman's volumes of it
/// are `volumes/NAME`.
struct ResticModule: Sendable {
  /// What the state folder is called in a snapshot.
  static let state = "state"
  /// Always in a backup, and never restored over the one that is there: it says who this instance is.
  static let environment = "environment"
  /// What the backup's own is called where it is restored, for whoever merges the two.
  static let savedEnvironment = "environment.restore-module"

  let context: ProviderContext
  let id: String
  /// Whose rootless Podman has the volumes; nil: root's has them.
  let user: String?

  /// Nil if the item is about no module.
  init?(_ context: ProviderContext, _ endpoint: ResticConfig.Endpoint) {
    guard let id = endpoint.module else { return nil }
    self.context = context
    self.id = id
    user = endpoint.user
  }

  /// Owners as the module's containers see them.
  func owners() throws -> IDMap? { try user.map { try IDMap(user: $0) } }

  /// Throws where a module cannot be looked into.
  func demandAccess() throws {
    guard geteuid() == 0 else {
      throw FerryError(.precondition, "a module's volumes belong to others: only root can move them", hint: "run as root at this node")
    }
    _ = try owners()
    _ = try names()
  }

  // MARK: Volumes

  /// All volumes of the module, by the names that they have in a snapshot.
  func names() throws -> [String] {
    let listed = try demand(["volume", "ls", "--format", "{{.Name}}"], "cannot list the volumes").split(separator: "\n").map(String.init)
    // restic's own cache is NethServer's, and not the module's.
    return listed.filter { !$0.hasPrefix("restic-") }.compactMap { name in
      user != nil ? name : name.hasPrefix("\(id)-") ? String(name.dropFirst(id.utf8.count + 1)) : nil
    }
  }

  /// What Podman calls a volume: rootful volumes have their module's name in front.
  func engineName(_ name: String) -> String { user == nil ? "\(id)-\(name)" : name }

  private struct Volume: Decodable {
    var mountpoint: String?
    var driver: String?
    var options: [String: String]?

    enum CodingKeys: String, CodingKey {
      case mountpoint = "Mountpoint"
      case driver = "Driver"
      case options = "Options"
    }
  }

  /// Where a volume's content is; nil if there is no such volume.
  func folder(_ name: String) throws -> String? {
    let called = engineName(name)
    let asked = try podman(["volume", "exists", called])
    if asked.code == 1 { return nil }
    let text = try demand(["volume", "inspect", called], "cannot look at the volume \(called)")
    guard let volume = try JSONValue(parsing: text).decode([Volume].self).first, let folder = volume.mountpoint else {
      throw FerryError(.internal, "podman says nothing of the volume \(called)")
    }
    guard volume.driver ?? "local" == "local", volume.options?.isEmpty ?? true, Files.isFolder(folder) else {
      throw FerryError(
        .unsupported, "the content of the volume \(called) is not in a folder of Podman's own",
        hint: "leave it out of the include-file, and move it by its own means")
    }
    return folder
  }

  /// Makes a volume, which must not be there.
  func make(_ name: String) throws { _ = try demand(["volume", "create", engineName(name)], "cannot make the volume \(engineName(name))") }

  /// Removes a volume with all that is in it.
  func remove(_ name: String) throws {
    guard try podman(["volume", "exists", engineName(name)]).code != 1 else { return }
    _ = try demand(["volume", "rm", engineName(name)], "cannot remove the volume \(engineName(name))")
  }

  /// A container that runs with the volume keeps the folder that it was started with.
  func demandIdle(_ name: String) throws {
    let called = engineName(name)
    let running = try demand(["ps", "--filter", "volume=\(called)", "--format", "{{.Names}}"], "cannot list the containers")
    guard let container = running.split(separator: "\n").first else { return }
    throw FerryError(
      .precondition, "the container \(container) runs with the volume \(called)", hint: "list it under `services`, or stop it")
  }

  /// Where Podman keeps volumes.
  func storage() throws -> String {
    var path = try demand(["info", "--format", "{{.Store.VolumePath}}"], "cannot ask for its folders").split(separator: "\n").joined()
    // Made with the first volume.
    while !Files.isFolder(path), path.utf8.count > 1 { path = Files.parent(of: path) }
    return path
  }

  private func demand(_ arguments: [String], _ what: String) throws -> String {
    let outcome = try podman(arguments)
    guard outcome.succeeded else { throw FerryError(.precondition, "podman \(what): \(outcome.reason)") }
    return outcome.output
  }

  private func podman(_ arguments: [String]) throws -> Command.Outcome {
    guard let user else { return try context.run(Command(["podman"] + arguments, timeout: .seconds(120))) }
    let account = try Account(user)
    var command = Command(["runuser", "-u", user, "--", "podman"] + arguments, timeout: .seconds(120))
    command.environment = ["HOME": account.home, "XDG_RUNTIME_DIR": account.runtimeFolder]
    command.directory = account.home
    return try context.run(command)
  }

  // MARK: The layout

  /// Where the parts are seen while restic reads or writes. Always the same: restic finds by it what it has read before.
  var view: String { "/run/ferry/modules/\(id)" }

  /// Runs work that sees the parts in their places in `view`, with the owners that the module's containers see.
  func showing<Value: Sendable>(_ parts: [ResticPart], _ work: @escaping @Sendable () throws -> Value) throws -> Value {
    let owners = try owners()
    let mounts = try parts.map { part in
      try Files.makeFolder("\(view)/\(part.name)")
      return MountView.Mount(part.folder, at: "\(view)/\(part.name)", owners: owners)
    }
    return try MountView.run(mounts, work)
  }
}
