import FerryPluginKit
import Glibc

/// A systemd, asked and told through systemctl.
struct UnitManager {
  let context: ProviderContext
  let isUser: Bool
  /// Whose, if it is another's than this process's.
  let user: String?

  /// What a manager says of one unit.
  struct State {
    var isEnabled: Bool
    var isActive: Bool
    var isMasked: Bool
    var exists: Bool
  }

  /// Names of units of a kind that can be enabled, by patterns; sorted.
  func find(_ patterns: [String], without: [String]) throws -> [String] {
    let arguments = ["list-unit-files", "--no-legend", "--full", "--type=service,timer,socket,path"] + patterns
    let outcome = try systemctl(arguments)
    // From systemd 252 on, no unit at all is exit code 1 without a word.
    guard outcome.succeeded || (outcome.code == 1 && outcome.errors.isEmpty) else { throw failure("list-unit-files", outcome) }
    let names = outcome.output.split(separator: "\n").compactMap { $0.split(separator: " ").first.map(String.init) }
    // A template is no unit; what is made of it is.
    return Set(names.filter { name in !name.contains("@.") && !without.contains { fnmatch($0, name, 0) == 0 } }).sorted()
  }

  func state(_ unit: String) throws -> State {
    let outcome = try systemctl(["show", "--property=LoadState,ActiveState,UnitFileState", unit])
    guard outcome.succeeded else { throw failure("show \(unit)", outcome) }
    let lines = Set(outcome.output.split(separator: "\n").map(String.init))
    let isActive = ["active", "activating", "reloading"].contains { lines.contains("ActiveState=\($0)") }
    return State(
      isEnabled: lines.contains("UnitFileState=enabled"), isActive: isActive,
      isMasked: lines.contains("LoadState=masked") || lines.contains("UnitFileState=masked"),
      exists: !lines.contains("LoadState=not-found"))
  }

  func tell(_ verb: String, _ unit: String) throws {
    let outcome = try systemctl([verb, unit])
    guard outcome.succeeded else { throw failure("\(verb) \(unit)", outcome) }
  }

  /// Whether there is a manager at all.
  func answer() throws -> String {
    let outcome = try systemctl(["show", "--property=Version", "--value"])
    guard outcome.succeeded else {
      throw FerryError(
        .precondition, "no systemd answers here: \(outcome.reason)",
        hint: isUser
          ? "`loginctl enable-linger\(user.map { " \($0)" } ?? "")` keeps a user's systemd running" : "this node must run systemd")
    }
    return outcome.output.filter { !$0.isWhitespace }
  }

  private func systemctl(_ arguments: [String]) throws -> Command.Outcome {
    var environment: [String: String?] = ["LC_ALL": "C", "SYSTEMD_COLORS": "0"]
    if isUser, user == nil { environment["XDG_RUNTIME_DIR"] = Environment.runtimeFolder }
    var command = Command(
      ["systemctl", isUser ? "--user" : "--system", "--no-ask-password", "--no-pager"] + arguments, environment: environment,
      timeout: .seconds(120))
    command.output = .capture(limit: 8 << 20)
    command.account = try user.map { try Account($0) }
    return try context.run(command)
  }

  /// How a person calls it.
  private var shell: String { isUser ? "systemctl --user\(user.map { " --machine=\($0)@" } ?? "")" : "systemctl" }

  private func failure(_ what: String, _ outcome: Command.Outcome) -> FerryError {
    FerryError(
      .io, "`\(shell) \(what)` failed, \(outcome.reason)", hint: "`\(shell) status` says more")
  }
}
