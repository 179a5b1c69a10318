import ArgumentParser
import Ferry
import Glibc

struct ScheduleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schedule", abstract: "Transfers that systemd starts at their times.",
    subcommands: [Add.self, List.self, Run.self, Remove.self])

  struct Add: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Adds a schedule, or replaces the one of that name.")
    @Argument(help: "What it is called.") var name: String
    @Argument(help: "The manifests that are transferred, one after another.") var manifests: [String]
    @Option(help: ArgumentHelp("When, as systemd's OnCalendar= has it: daily, 'Mon..Fri 02:30'.", valueName: "when")) var onCalendar: String
    @Option(
      help: ArgumentHelp("Begin up to so long later, by chance.", valueName: "duration"),
      transform: { text in
        guard let duration = Quantity.duration(text) else { throw ValidationError("'\(text)' is no duration: write 30s, 5m or 1h") }
        return duration
      }) var delay: Duration?
    @Option(
      help: ArgumentHelp(
        "A parameter of all manifests, or of the one named before it. What is given several times makes as many transfers.",
        valueName: "[manifest:]name=value")
    ) var set: [String] = []
    @Flag(help: "Write it without starting its timer.") var disabled = false
    @Flag(help: "A timer of this user's own systemd; always so for a user who is not root.") var user = false
    @Flag(name: .customLong("print"), help: "Print the units, and change nothing.") var onlyPrints = false
    @OptionGroup var engine: EngineOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
      guard !manifests.isEmpty else { throw ValidationError("name a manifest") }
      guard Engine.isName(name) else { throw ValidationError("'\(name)' is no name: letters, digits, '.', '_' and '-'") }
    }

    func run() throws {
      let engine = try engine.engine()
      let transfers: [Schedule.Transfer]
      do { transfers = try Schedule.Transfer.all(of: manifests, set: set) } catch let error as FerryError {
        throw ValidationError("--set: \(error.message)")
      }
      let schedule = Schedule(
        name: name, transfers: transfers, calendar: onCalendar, delay: delay, enabled: !disabled, user: user || geteuid() != 0)
      if onlyPrints || !engine.canInstall(user: schedule.user) {
        for unit in engine.units(schedule) { try output.show(Unit(unit: unit.name, text: unit.text), "# \(unit.name)\n\(unit.text)") }
        if onlyPrints { return }
      }
      try engine.add(schedule)
      try output.show(
        schedule, "schedule \(name) is \(disabled ? "written, and off" : "on"); `ferry schedule list` tells when it runs next")
    }

    private struct Unit: Encodable {
      var unit: String
      var text: String
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists all schedules: the last result, the next run.")
    @OptionGroup var engine: EngineOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
      let all = try engine.engine().scheduleStatus()
      for status in all { try output.show(status, text(status)) }
      if all.isEmpty && !output.json { Console.line("no schedule; `ferry schedule add` makes one") }
    }

    private func text(_ status: Engine.ScheduleStatus) -> String {
      let last = status.last.map { last in
        "\(Timestamp.text(last.ended)) \(last.exit == .done ? "done" : "failed (\(last.exit.rawValue)): \(last.error?.message ?? "")")"
      }
      return """
        \(status.schedule.name)  \(status.schedule.calendar)\(status.schedule.enabled ? "" : "  off")
          last  \(last ?? "never")
          next  \(status.next ?? (status.atWork ? "when what is at work has ended" : "not by itself"))
        """
    }
  }

  struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Runs a schedule now, as its timer does.", discussion: "Exits with 11 if it is at work already.")
    @Argument(help: "Its name.") var name: String
    @OptionGroup var engine: EngineOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
      let (engine, name) = (try engine.engine(), name)
      let last = try Foreground.wait(onInterrupt: { count in if count > 1 { _exit(Ferry.ExitCode.resumable.rawValue) } }) {
        try await engine.runSchedule(name)
      }
      try output.show(last, "schedule \(name): \(last.runs.isEmpty ? "no run began" : "runs \(last.runs.joined(separator: ", "))")")
      if let error = last.error { Console.complain("error: \(error)") }
      if last.exit != .done { throw Ending(last.exit) }
    }
  }

  struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Takes a schedule and its units away; what it has stored stays.")
    @Argument(help: "Its name.") var name: String
    @OptionGroup var engine: EngineOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
      try engine.engine().removeSchedule(name)
      try output.done(name, "schedule \(name) is removed")
    }
  }
}
