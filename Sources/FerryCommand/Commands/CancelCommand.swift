import ArgumentParser
import Ferry

struct CancelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel", abstract: "Asks the controller that is at work on a run to cancel it; the run goes back.")
  @OptionGroup var reference: RunReference
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let run = try engine.find(reference.run).id
    try engine.cancel(run)
    try output.done(run, "run \(run) will be cancelled; `ferry status \(run) --follow` shows it going back")
  }
}
