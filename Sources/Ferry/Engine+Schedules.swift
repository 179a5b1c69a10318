import FerrySystem
import Glibc

extension Engine {
  /// A schedule, how its last run went, and when the next begins.
  public struct ScheduleStatus: Sendable, Codable, Hashable {
    /// What it is.
    public var schedule: Schedule
    /// How its last run went; nil: it has not run yet.
    public var last: Schedule.Last?
    /// When its timer goes off next, in systemd's words; nil: it does not, or not before the one that it has started has ended.
    public var next: String?
    /// Whether what its timer has started is at work.
    public var atWork: Bool
  }

  /// The two files that make a schedule, by name: the timer's and the service's.
  public func units(_ schedule: Schedule) -> [(name: String, text: String)] {
    [("\(schedule.unit).timer", schedule.timer), ("\(schedule.unit).service", schedule.service(configuration))]
  }

  /// Writes a schedule and its units. One of that name is replaced.
  public func add(_ schedule: Schedule) throws {
    for transfer in schedule.transfers {
      let manifest = try load(transfer.manifest, parameters: transfer.parameters)
      for item in manifest.state {
        for (name, reference) in item.secrets {
          guard case .env(let variable) = reference else { continue }
          throw FerryError(
            .precondition,
            "secret '\(name)' of state '\(item.name)' is the variable \(variable) of this terminal, which a unit does not have",
            hint: "use a {file: …} or {command: …} reference; nothing was changed")
        }
      }
    }
    let manager = UnitManager(user: schedule.user)
    guard manager.answers else {
      throw FerryError(
        .unsupported, "systemd does not run \(schedule.user ? "for this user" : "this machine")",
        hint: "`ferry schedule add --print` shows the units; have something else call `ferry transfer`; nothing was changed")
    }
    let tried = try Command(["systemd-analyze", "calendar", schedule.calendar], timeout: .seconds(60)).run()
    guard tried.succeeded else {
      throw FerryError(
        .invalid, "systemd does not understand '\(schedule.calendar)': \(tried.reason)",
        hint: "daily, Mon..Fri 02:30, *-*-1 04:00; see systemd.time(7)")
    }
    try Files.makeFolder(schedules)
    try Files.replace(path(schedule.name), with: JSONValue.encode(schedule))
    for (name, text) in units(schedule) { try manager.write(name, text) }
    try manager.demand(["daemon-reload"], about: schedule.unit)
    try manager.demand([schedule.enabled ? "enable" : "disable", "--now", "\(schedule.unit).timer"], about: "\(schedule.unit).timer")
  }

  /// All schedules of this controller.
  public func scheduleStatus() throws -> [ScheduleStatus] {
    try Files.names(in: schedules).filter { $0.hasSuffix(".json") && !$0.hasSuffix(".last.json") }.map { name in
      let schedule = try JSONValue.decode(Schedule.self, from: Files.read("\(schedules)/\(name)"))
      let last =
        Files.exists(lastPath(schedule.name)) ? try JSONValue.decode(Schedule.Last.self, from: Files.read(lastPath(schedule.name))) : nil
      let said = try? UnitManager(user: schedule.user).systemctl(
        ["show", "--property=NextElapseUSecRealtime,SubState", "\(schedule.unit).timer"])
      func property(_ name: String) -> String {
        said?.output.split(separator: "\n").first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.utf8.count + 1)) } ?? ""
      }
      let next = property("NextElapseUSecRealtime")
      return ScheduleStatus(
        schedule: schedule, last: last, next: next.isEmpty || next == "n/a" ? nil : next, atWork: property("SubState") == "running")
    }
  }

  /// Transfers all that a schedule names, as its timer does. One that is at work already is not joined: that is a `conflict`.
  public func runSchedule(_ name: String, onEvent: @escaping @Sendable (Event) -> Void = { _ in }) async throws -> Schedule.Last {
    let schedule = try schedule(name)
    guard let lock = try FileLock(ifFree: "\(schedules)/\(name).lock") else {
      throw FerryError(.conflict, "schedule '\(name)' is at work already", hint: "`ferry status` shows its run; nothing was begun")
    }
    defer { lock.unlock() }
    var last = Schedule.Last(began: wallClock(), ended: 0, exit: .done, runs: [], error: nil)
    // One that fails does not keep the others from their backup.
    for one in schedule.transfers {
      do {
        let result = try await transfer(load(one.manifest, parameters: one.parameters), onEvent: onEvent)
        last.runs.append(result.run)
        if result.exit != .done, last.exit == .done { (last.exit, last.error) = (result.exit, result.error) }
      } catch {
        let failure = error as? FerryError ?? FerryError(.invalid, "\(one.manifest): \(error)")
        if last.exit == .done { (last.exit, last.error) = (ExitCode(failure), failure) }
      }
    }
    last.ended = wallClock()
    try Files.replace(lastPath(name), with: JSONValue.encode(last))
    return last
  }

  /// Takes a schedule and its units away; what it has stored stays.
  public func removeSchedule(_ name: String) throws {
    let schedule = try schedule(name)
    let manager = UnitManager(user: schedule.user)
    if manager.answers, Files.exists("\(manager.folder)/\(schedule.unit).timer") {
      try manager.demand(["disable", "--now", "\(schedule.unit).timer"], about: "\(schedule.unit).timer")
    }
    for (name, _) in units(schedule) { try Files.remove("\(manager.folder)/\(name)") }
    if manager.answers { try manager.demand(["daemon-reload"], about: schedule.unit) }
    for path in [path(name), lastPath(name), "\(schedules)/\(name).lock"] { try Files.remove(path) }
  }

  private func schedule(_ name: String) throws -> Schedule {
    guard Self.isName(name), Files.exists(path(name)) else {
      throw FerryError(.notFound, "there is no schedule '\(name)'", hint: "`ferry schedule list` shows all")
    }
    return try JSONValue.decode(Schedule.self, from: Files.read(path(name)))
  }

  /// Whether a schedule can be called so: it is part of files' and units' names.
  public static func isName(_ name: String) -> Bool { (try? Pattern(ManifestSchema.namePattern).matches(name)) ?? false }

  private var schedules: String { "\(configuration.stateFolder)/schedules" }
  private func path(_ name: String) -> String { "\(schedules)/\(name).json" }
  private func lastPath(_ name: String) -> String { "\(schedules)/\(name).last.json" }
}
