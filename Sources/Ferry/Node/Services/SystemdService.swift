import FerrySystem

/// A unit of the system's manager or a user's.
///
/// Held means masked, durably, in the manager's `control` folder: `/etc/systemd/system.control`, or
/// `systemd/user.control` in the user's configuration. `systemctl mask` writes one folder lower, where it refuses a unit
/// whose own file lies there. The control folder stands above all others, so the same link works for every unit, and it
/// works against whoever asks: a person, a dependency, a socket, a timer, D-Bus, the next boot.
struct SystemdService: ServiceDriver {
  let context: ServiceContext
  let name: String
  /// Whether a user's own manager has it, and not the system's.
  let isUsers: Bool

  var title: String { "\(isUsers ? "user unit" : "systemd unit") \(name)\(context.user.map { " of \($0)" } ?? "")" }

  func check() throws -> [Notice] {
    let unit = try show(fullName)
    guard unit.exists else {
      return [
        context.side == .source
          ? Notice(.error, "there is no such unit", hint: "\(shell) list-units --all lists what there is")
          : Notice(.warning, "there is no such unit yet: starting it fails unless one of the items brings it")
      ]
    }
    var notices: [Notice] = []
    if let obstacle = obstacle(unit) { notices.append(Notice(.error, obstacle.message, hint: obstacle.hint)) }
    _ = try controlFolder()
    if context.side == .destination {
      if unit.isRunning { notices.append(Notice(.warning, "it runs at the destination already", hint: "\(shell) stop \(unit.id)")) }
      if unit["UnitFileState"] == "disabled" {
        notices.append(
          Notice(.warning, "it is not enabled at the destination: a reboot will not start it", hint: "\(shell) enable \(unit.id)"))
      }
    } else if !unit.isRunning {
      notices.append(Notice(.info, "it does not run: it is held down and left stopped"))
    }
    if !unit.triggers.isEmpty {
      notices.append(Notice(.info, "held together with what starts it: \(unit.triggers.joined(separator: ", "))"))
    }
    if context.side == .source, let restart = unit["Restart"], restart != "no" {
      notices.append(Notice(.info, "its Restart=\(restart) does not bring it back while it is held"))
    }
    if let mode = unit["KillMode"], mode == "process" || mode == "none" {
      notices.append(Notice(.warning, "its KillMode=\(mode) may leave processes behind that still write", hint: "use KillMode=mixed"))
    }
    return notices
  }

  func find() throws -> ServiceFound? {
    let unit = try show(fullName)
    guard unit.exists || context.side == .destination else { return nil }
    if let obstacle = obstacle(unit) { throw obstacle }
    let triggers = try unit.triggers.map { ServiceFound.Trigger(unit: $0, active: try show($0).isRunning) }
    return ServiceFound(ran: unit.isRunning, unit: unit.id, triggers: triggers)
  }

  func hold(_ found: ServiceFound) throws { try mask(found.names) }

  func stop(_ found: ServiceFound) throws -> String {
    let unit = found.unit ?? fullName
    let triggers = found.triggers.map(\.unit)
    if !triggers.isEmpty {
      _ = try act(["stop"] + triggers, within: context.spec.stopTimeout)
      try mask(triggers)
    }
    var remark = ""
    // A masked unit has lost its ExecStop=, so it is stopped first. Whoever starts it in between is stopped once more.
    for _ in 0..<5 {
      if try show(unit).isRunning {
        try unmask([unit])
        remark = try stopRunning(unit)
      }
      try mask([unit])
      if try !show(unit).isRunning { return remark }
    }
    throw FerryError(
      .conflict, "something starts it again and again, faster than it can be held",
      hint: "`\(shell) status \(unit)` and the journal say who; end that, then run again")
  }

  private func stopRunning(_ unit: String) throws -> String {
    let outcome = try systemctl(["stop", unit], timeout: context.spec.stopTimeout)
    if outcome.timedOut {
      _ = try systemctl(["kill", "--signal=SIGKILL", unit], timeout: .seconds(30))
      _ = try context.wait(.seconds(30)) { try !show(unit).isRunning }
      try mask([unit])
      throw context.refusedToStop("it was killed and is held")
    }
    guard outcome.succeeded else { throw failure("stop \(unit)", outcome) }
    return try show(unit)["Result"] == "timeout" ? "systemd killed it after its own TimeoutStopSec" : ""
  }

  func release(_ found: ServiceFound) throws { try unmask(found.names) }

  func start(_ found: ServiceFound, running: Bool) throws {
    let name = found.unit ?? fullName
    var unit = try show(name)
    if !unit.exists || unit["NeedDaemonReload"] == "yes" {
      try reload()
      unit = try show(name)
    }
    // Sockets first: one refuses to listen for a service that runs already.
    var triggers = found.triggers.filter(\.active).map(\.unit)
    if context.side == .destination {
      // The unit may have come with the state: what is enabled for it now starts it now, as the next boot would.
      triggers += try unit.triggers.filter { try !triggers.contains($0) && show($0)["UnitFileState"] == "enabled" }
    }
    if !triggers.isEmpty { try act(["start"] + triggers, within: context.spec.startTimeout) }
    guard running else { return }
    // Forgets a failure that the stop left, and how often it was started of late.
    _ = try systemctl(["reset-failed", name], timeout: .seconds(30))
    try act(["start", name], within: context.spec.startTimeout)
  }

  func isRunning() throws -> Bool? { try show(fullName).isRunning }

  func health() throws -> ServiceHealth {
    let unit = try show(fullName)
    switch unit["ActiveState"] {
    case "active" where unit["Type"] == "oneshot": return .healthy
    case "active": return .running("\(unit["InvocationID"] ?? "") \(unit["MainPID"] ?? "")")
    case "inactive" where unit["Type"] == "oneshot" && unit["Result"] == "success": return .healthy
    case "failed": return .failed("the unit failed (\(unit["Result"] ?? "?")); `\(shell) status \(unit.id)` says why")
    default: return .waiting("the unit is \(unit["ActiveState"] ?? "?")")
    }
  }

  /// Why this unit cannot be held or brought back.
  private func obstacle(_ unit: Unit) -> FerryError? {
    if unit["FragmentPath"]?.contains("/systemd/transient/") == true {
      return FerryError(.unsupported, "it is a transient unit, gone once it is stopped", hint: "give it a unit file")
    }
    if unit["FragmentPath"]?.contains(".control/") == true && unit["LoadState"] == "masked" {
      return FerryError(
        .conflict, "it is held already by another run (\(unit["FragmentPath"] ?? "") leads to /dev/null)",
        hint: "`ferry node status` lists the runs of this node; finish that one, or remove the link and run `\(shell) daemon-reload`")
    }
    if unit["LoadState"] == "masked" && context.side == .destination {
      return FerryError(.precondition, "it is masked at the destination and cannot be started", hint: "\(shell) unmask \(unit.id)")
    }
    return nil
  }

  /// The name with its type: systemd takes a name without one for a service's.
  private var fullName: String {
    let types = [".service", ".socket", ".timer", ".path", ".target", ".mount", ".automount", ".scope", ".slice", ".swap"]
    return types.contains { name.hasSuffix($0) } ? name : "\(name).service"
  }
}

extension ServiceFound {
  /// The triggers first: what is down must not be started while the rest is being held.
  fileprivate var names: [String] { triggers.map(\.unit) + (unit.map { [$0] } ?? []) }
}
