import ArgumentParser
import Ferry

struct RollbackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollback", abstract: "Undoes a run that is not done: the source serves as before, nothing is left at the destination.")
  @OptionGroup var reference: RunReference
  @Flag(help: "Give up what the destination has accepted since it began to serve.") var discardDestinationWrites = false
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let (engine, discard) = (try engine.engine(), discardDestinationWrites)
    let entry = try engine.find(reference.run)
    try Outcome.follow(phases: entry.phases, budget: entry.budget, run: entry.id, json: output.json) { show in
      try await engine.rollback(entry.id, discardDestinationWrites: discard, onEvent: show)
    }
  }
}
