import ArgumentParser
import Ferry

struct ReceiveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "receive", abstract: "The destination's half of a run: what was transferred is fetched, proven and brought into service.",
    discussion: "A restore, in other words. Until what was fetched is proven, nothing at the destination changes.")
  @Argument(help: "A transfer's receipt (a file, or the run's id), or the manifest.") var what: String
  @Option(help: ArgumentHelp("Which one, with a manifest: a snapshot, a run, or 'latest'.", valueName: "snapshot")) var snapshot: String?
  @Option(help: ArgumentHelp("Receive at this node instead of the manifest's destination.", valueName: "node")) var node: String?
  @Option(help: ArgumentHelp("A parameter of the manifest; may be repeated.", valueName: "name=value")) var set: [String] = []
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    var (manifest, stored) = try choose(engine)
    if let node { manifest.destination = try NodeSpec(at: node, instead: manifest.destination) }
    let (chosen, wanted) = (manifest, stored)
    try Outcome.follow(phases: Half.receive.phases, budget: nil, json: output.json) { show in
      try await engine.receive(chosen, wanted, onEvent: show)
    }
  }

  /// A manifest names itself by its ending; anything else is a receipt.
  private func choose(_ engine: Engine) throws -> (Manifest, Engine.Stored) {
    if what.hasSuffix(".yaml") || what.hasSuffix(".yml") {
      let manifest = try ManifestOptions.parse([what] + set.flatMap { ["--set", $0] }).load(by: engine)
      return (manifest, .snapshot(snapshot ?? "latest"))
    }
    guard snapshot == nil, set.isEmpty else {
      throw FerryError(.invalid, "--snapshot and --set are for a manifest; a receipt says all of that itself")
    }
    let receipt = try engine.receipt(what)
    guard let transfer = receipt.transfer else {
      throw FerryError(.invalid, "the receipt of run \(receipt.run) is of no transfer", hint: "`ferry transfer` writes one")
    }
    return (transfer.manifest, .receipt(receipt))
  }
}
