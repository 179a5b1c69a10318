import ArgumentParser
import Ferry

struct CleanupCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cleanup", abstract: "Forgets a run that has ended: holds, kept targets, locks and notes on both nodes go.")
  @OptionGroup var reference: RunReference
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let run = try engine.find(reference.run).id
    try Foreground.wait { try await engine.cleanup(run) }
    try output.done(run, "run \(run) is cleaned: nothing of it is left on either node; its receipt stays")
  }
}
