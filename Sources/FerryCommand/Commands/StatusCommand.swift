import ArgumentParser
import Ferry

struct StatusCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Tells how far a run is; without a run, all that are not at their end.")
  @Argument(help: ArgumentHelp("The run's id, or the beginning of it.", valueName: "run")) var reference: String?
  @Flag(help: "Show what happens until the run ends, and exit as it did.") var follow = false
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if follow && reference == nil { throw ValidationError("--follow needs a run") }
  }

  func run() throws {
    let engine = try engine.engine()
    guard let reference else { return try list(engine) }
    let entry = try engine.find(reference)
    if follow { try EventTail(engine: engine, run: entry.id).show(phases: entry.phases, json: output.json) }
    let now = try engine.find(entry.id)
    var start = 0
    let last = try engine.events(now.id, from: &start).last
    try output.show(
      RunStatus(now), text(now, steps: try engine.steps(now.id), waiting: now.isAtWork && last?.kind == .waiting ? last : nil))
    if follow, let exit = exit(now) { throw Ending(exit) }
  }

  /// How the run ended, as a code; the journal does not keep that of the run's own command.
  private func exit(_ entry: RunEntry) -> Ferry.ExitCode? {
    switch entry.status {
    case .done, .cleaned: nil
    case .running: .resumable
    case .incomplete: .incomplete
    case .undone, .kept: entry.error == nil ? nil : entry.error?.class == .cancelled ? .interrupted : .failed
    }
  }

  private func list(_ engine: Engine) throws {
    let runs = try engine.history().filter { [.running, .kept, .incomplete].contains($0.status) }
    if output.json { return try runs.forEach { try Console.line(RunStatus($0)) } }
    Console.line(runs.isEmpty ? "no run is under way; `ferry history` lists all" : Words.table(runs.map(HistoryCommand.row)))
  }

  private func text(_ entry: RunEntry, steps: [StepEntry], waiting: Event?) -> String {
    let phases = entry.phases
    var lines = [
      "run \(entry.id): \(entry.manifest.mode.rawValue) \(entry.manifest.name) from \(entry.manifest.source.name) to \(entry.manifest.destination.name)"
    ]
    var facts = [["state", entry.state], ["begun", Timestamp.text(entry.created)]]
    if let ended = entry.ended { facts.append(["ended", Timestamp.text(ended)]) }
    if let last = steps.last {
      let phase = last.step.phase
      let number = phases.firstIndex(of: phase).map { "[\($0 + 1)/\(phases.count)] " } ?? ""
      facts.append(["phase", "\(number)\(phase.rawValue)\(last.step.pass.map { ", pass \($0)" } ?? "")"])
    }
    if let waiting { facts.append(["waiting", "before \(waiting.phase?.rawValue ?? ""); `\(waiting.text ?? "")` goes on"]) }
    if let controller = entry.controller, entry.status == .running {
      facts.append(["controller", "process \(controller.pid), \(controller.isAlive ? "at work" : "gone")"])
    }
    if let error = entry.error { facts.append(["error", error.description]) }
    if !entry.next.isEmpty { facts.append(["next", entry.next.map { "`\($0)`" }.joined(separator: ", ")]) }
    lines.append(Words.table(facts.map { ["  \($0[0])", $0[1]] }))
    if let receipt = entry.receipt { lines.append(Summary(receipt: receipt, budget: entry.budget).text) }
    return lines.joined(separator: "\n")
  }
}
