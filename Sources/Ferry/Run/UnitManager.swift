import FerrySystem
import Glibc

/// A systemd whose units Ferry writes: the system's, or that of this user.
struct UnitManager: Sendable {
  let user: Bool

  /// Where an administrator's units are.
  var folder: String {
    guard user else { return "/etc/systemd/system" }
    let variables = Environment.all
    return "\(variables["XDG_CONFIG_HOME"] ?? "\(variables["HOME"] ?? "")/.config")/systemd/user"
  }

  /// Whether it is there and hears us.
  var answers: Bool { (try? systemctl(["show", "--property=Version"]).succeeded) ?? false }

  /// Writes a unit's file; it counts after `daemon-reload`.
  func write(_ name: String, _ text: String) throws {
    try Files.makeFolder(folder, mode: 0o755)
    try Files.replace("\(folder)/\(name)", with: Array(text.utf8), mode: 0o644)
  }

  /// Throws unless systemctl succeeds.
  func demand(_ arguments: [String], about unit: String) throws {
    let outcome = try systemctl(arguments)
    guard outcome.succeeded else {
      let shell = user ? "systemctl --user" : "systemctl"
      throw FerryError(
        .io, "`\(shell) \(arguments.joined(separator: " "))` failed, \(outcome.reason)", hint: "`\(shell) status \(unit)` says more")
    }
  }

  func systemctl(_ arguments: [String]) throws -> Command.Outcome {
    try Command(
      ["systemctl", user ? "--user" : "--system", "--no-ask-password", "--no-pager"] + arguments,
      environment: user ? ["XDG_RUNTIME_DIR": Environment.runtimeFolder] : [:], timeout: .seconds(90)
    ).run()
  }

  /// The lines that let a service of this manager find what the caller found.
  func environment(_ configuration: Engine.Configuration) -> String {
    var variables = Environment.all.filter { ["HOME", "PATH", "FERRY_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"].contains($0.key) }
    variables["FERRY_STATE"] = configuration.stateFolder
    variables["FERRY_PLUGINS"] = configuration.pluginFolders.joined(separator: ":")
    variables["FERRY_SSH_CONFIG"] = configuration.sshConfig
    return variables.sorted { $0.key < $1.key }.map { "Environment=\(Self.quoted("\($0.key)=\($0.value)"))" }.joined(separator: "\n")
  }

  /// A word as a unit's file has it.
  static func quoted(_ word: String) -> String {
    "\"\(word.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("%", with: "%%"))\""
  }
}
