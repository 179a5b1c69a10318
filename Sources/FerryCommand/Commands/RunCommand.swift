import ArgumentParser
import Ferry

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Runs a migration to its end.",
    discussion: "Ctrl-C cancels the run, which then goes back; a second one leaves it as it is, to be resumed.")
  @OptionGroup var manifest: ManifestOptions
  @OptionGroup var flags: RunOptionFlags
  @Flag(help: "Begin the run in the background, where it outlives this terminal, and print its id.") var detach = false
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let manifest = try manifest.load(by: engine)
    let options = flags.options()
    if detach { return try begin(manifest, options, engine) }
    let budget = (options.maxDowntime ?? manifest.cutover.maxDowntime).map(Words.seconds)
    try Outcome.follow(phases: manifest.mode.phases, budget: budget, json: output.json) { show in
      try await engine.run(manifest, options: options, onEvent: show)
    }
  }

  private func begin(_ manifest: Manifest, _ options: RunOptions, _ engine: Engine) throws {
    let id = try engine.runDetached(manifest, options: options)
    try output.done(id, "run \(id) has begun in the background; `ferry status \(id) --follow` shows it, `ferry cancel \(id)` ends it")
  }
}
