import ArgumentParser
import Ferry

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Reads the destination again and tells whether it still is what was received.",
    discussion: "Exits with 6 if it is not: the service that moved may well have written since.")
  @Argument(help: "A receipt's file, or the run's id.") var receipt: String
  @Option(help: ArgumentHelp("Another way to the destination than the manifest's: local, if this is it.", valueName: "node")) var node:
    String?
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let (engine, reference, node) = (try engine.engine(), receipt, node)
    let verification = try Foreground.wait { try await engine.verify(reference, at: node) }
    try output.show(verification, text(verification))
    if !verification.isEqual {
      let count = verification.items.count { !$0.isEqual }
      Console.complain(
        "error: \(count) of \(verification.items.count) items \(count == 1 ? "is" : "are") not what run \(verification.run) received; nothing was changed"
      )
      throw Ending(.mismatch)
    }
  }

  private func text(_ verification: Engine.Verification) -> String {
    verification.items.map { item in
      guard !item.isEqual else { return "\(item.name): \(Words.entries(item.entries)), all as received" }
      guard let drift = item.drift else { return "\(item.name): not as received: its root is \(item.found), received was \(item.expected)" }
      let counts = "\(Text.count(drift.changed)) changed, \(Text.count(drift.added)) added, \(Text.count(drift.missing)) missing"
      return (["\(item.name): not as received: \(counts)"] + drift.examples.map { "  \($0)" }).joined(separator: "\n")
    }.joined(separator: "\n")
  }
}
