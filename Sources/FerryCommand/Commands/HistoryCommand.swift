import ArgumentParser
import Ferry

struct HistoryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "history", abstract: "Lists all runs, the newest first.")
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let runs = try engine.engine().history()
    if output.json { return try runs.forEach { try Console.line(RunStatus($0)) } }
    Console.line(runs.isEmpty ? "there are no runs yet" : Words.table(runs.map(Self.row)))
  }

  static func row(_ entry: RunEntry) -> [String] {
    let ends = "\(entry.manifest.source.name) → \(entry.manifest.destination.name)"
    let outcome = entry.receipt.map { "downtime \(Text.seconds($0.outage.total))" } ?? entry.error?.message ?? ""
    return [entry.id, Timestamp.text(entry.created), entry.state, entry.manifest.mode.rawValue, entry.manifest.name, ends, outcome]
  }
}
