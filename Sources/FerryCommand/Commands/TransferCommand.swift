import ArgumentParser
import Ferry

struct TransferCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "transfer", abstract: "The source's half of a run: the state goes into its provider's store, proven, and waits there.",
    discussion: "A backup, in other words. `ferry receive` is the other half, today or in a year, on whatever machine.")
  @OptionGroup var manifest: ManifestOptions
  @OptionGroup var flags: RunOptionFlags
  @Option(help: ArgumentHelp("Write the receipt to this file as well.", valueName: "file")) var receipt: String?
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let manifest = try manifest.load(by: engine)
    let options = flags.options()
    let budget = (options.maxDowntime ?? manifest.cutover.maxDowntime).map(Words.seconds)
    let path = receipt
    try Outcome.follow(phases: Half.transfer.phases, budget: budget, json: output.json) { show in
      let result = try await engine.transfer(manifest, options: options, onEvent: show)
      if let path, let receipt = result.receipt { try receipt.write(to: path) }
      return result
    }
  }
}
