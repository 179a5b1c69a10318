import ArgumentParser
import Ferry

struct ProceedCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "proceed", abstract: "Lets a run go on that waits before a phase.")
  @OptionGroup var reference: RunReference
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let run = try engine.find(reference.run).id
    try engine.proceed(run)
    try output.done(run, "run \(run) goes on")
  }
}
