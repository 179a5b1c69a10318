import ArgumentParser
import Ferry

struct ResumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "resume", abstract: "Goes on with a run that was interrupted.")
  @OptionGroup var reference: RunReference
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let entry = try engine.find(reference.run)
    try Outcome.follow(phases: entry.phases, budget: entry.budget, run: entry.id, json: output.json) { show in
      try await engine.resume(entry.id, onEvent: show)
    }
  }
}
