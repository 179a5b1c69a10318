import ArgumentParser
import Ferry

struct CutoverCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cutover", abstract: "Ends the increments of a follow run: the destination takes over.")
  @OptionGroup var reference: RunReference
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let run = try engine.find(reference.run).id
    try engine.cutover(run)
    try output.done(run, "run \(run) hands over; `ferry status \(run) --follow` shows it")
  }
}
