import FerrySystem
import Glibc

extension SystemdService {
  /// What the manager says of a unit.
  struct Unit {
    let id: String
    private let properties: [String: String]

    init(_ name: String, _ text: String) {
      var properties: [String: String] = [:]
      for line in text.split(separator: "\n") {
        guard let equals = line.firstIndex(of: "=") else { continue }
        properties[String(line[..<equals])] = String(line[line.index(after: equals)...])
      }
      self.properties = properties
      id = properties["Id"] ?? name
    }

    subscript(key: String) -> String? { properties[key] }
    var exists: Bool { self["LoadState"] != "not-found" }
    /// From the first process of a start to the last of a stop, and between two tries of Restart=.
    var isRunning: Bool { self["ActiveState"] != "inactive" && self["ActiveState"] != "failed" }
    var triggers: [String] { (self["TriggeredBy"] ?? "").split(separator: " ").map(String.init).sorted() }
  }

  /// How a person calls the manager.
  var shell: String { isUsers ? "systemctl --user\(context.user.map { " --machine=\($0)@" } ?? "")" : "systemctl" }

  func show(_ name: String) throws -> Unit {
    let properties =
      "Id,LoadState,ActiveState,Result,Type,UnitFileState,FragmentPath,TriggeredBy,Restart,KillMode,NeedDaemonReload,InvocationID,MainPID"
    let outcome = try systemctl(["show", "--property=\(properties)", name], timeout: .seconds(30))
    guard outcome.succeeded else { throw failure("show \(name)", outcome) }
    return Unit(name, outcome.output)
  }

  /// Runs systemctl; throws unless it succeeds.
  func act(_ arguments: [String], within limit: Duration) throws {
    let outcome = try systemctl(arguments, timeout: limit)
    guard outcome.succeeded else { throw failure(arguments.joined(separator: " "), outcome) }
  }

  func systemctl(_ arguments: [String], timeout: Duration) throws -> Command.Outcome {
    // An agent that came by ssh, or as a service, may lack what a login gives.
    let isOwn = isUsers && context.user == nil && context.end.environment["XDG_RUNTIME_DIR"] == nil
    let prefix = isOwn ? ["env", "XDG_RUNTIME_DIR=\(Environment.runtimeFolder)"] : []
    return try context.command(
      prefix + ["systemctl", isUsers ? "--user" : "--system", "--no-ask-password", "--no-pager"] + arguments, timeout: timeout)
  }

  func failure(_ what: String, _ outcome: Command.Outcome) -> FerryError {
    FerryError(
      .io, "`\(shell) \(what)` \(outcome.timedOut ? outcome.reason : "failed, \(outcome.reason)")",
      hint: "`\(shell) status \(name)` says more")
  }

  /// Makes the units impossible to start from now on, reboots included.
  func mask(_ units: [String]) throws {
    let folder = try controlFolder()
    try asUser {
      try Files.makeFolder(folder, mode: 0o755)
      var changed = false
      for unit in units {
        let link = "\(folder)/\(unit)"
        if symlink("/dev/null", link) == 0 {
          changed = true
        } else if errno != EEXIST || !Self.isMask(link) {
          throw FerryError(errno: errno, "cannot hold \(unit): cannot make the link \(link) to /dev/null")
        }
      }
      if changed { try Files.syncFolder(of: "\(folder)/link") }
    }
    // Also without a change: the process that made the link may have died before the manager was told.
    try reload()
  }

  func unmask(_ units: [String]) throws {
    let folder = try controlFolder()
    try asUser {
      var changed = false
      for link in units.map({ "\(folder)/\($0)" }) where Self.isMask(link) {
        guard unlink(link) == 0 || errno == ENOENT else { throw FerryError(errno: errno, "cannot lift the hold \(link)") }
        changed = true
      }
      if changed { try Files.syncFolder(of: "\(folder)/link") }
    }
    try reload()
  }

  /// The folders of a user's manager are the user's own.
  private func asUser(_ work: () throws -> Void) throws {
    if let user = context.user { try Account(user).perform(work) } else { try work() }
  }

  func reload() throws { try act(["daemon-reload"], within: .seconds(90)) }

  /// The manager's folder of units that outranks all others and lasts.
  func controlFolder() throws -> String {
    let outcome = try systemctl(["show", "--property=UnitPath", "--value"], timeout: .seconds(30))
    guard outcome.succeeded else { throw failure("show", outcome) }
    // The lasting folder comes before the one that a reboot empties.
    let folder = outcome.output.split(whereSeparator: \.isWhitespace).first { $0.hasSuffix(".control") }
    guard let folder else {
      throw FerryError(.unsupported, "this systemd has no control folder in its UnitPath", hint: "systemd 234 or later is needed")
    }
    return String(folder)
  }

  private static func isMask(_ path: String) -> Bool {
    var target = [CChar](repeating: 0, count: 16)
    let length = readlink(path, &target, target.count)
    return length > 0 && target.prefix(length).elementsEqual("/dev/null".utf8.map { CChar(bitPattern: $0) })
  }
}
