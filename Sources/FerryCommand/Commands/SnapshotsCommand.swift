import ArgumentParser
import Ferry

struct SnapshotsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshots", abstract: "Lists what transfers have stored of a manifest's items.",
    discussion: "One that is not complete was stored by a run that did not come to its end, or not by a transfer.")
  @OptionGroup var manifest: ManifestOptions
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let manifest = try manifest.load(by: engine)
    let items = try Foreground.wait { try await engine.snapshots(manifest) }
    for item in items { try output.show(item, text(item)) }
  }

  private func text(_ item: Engine.StoredItem) -> String {
    let lines = item.snapshots.map { snapshot in
      "\(item.name)  \(snapshot.snapshot.prefix(8))  \(snapshot.time.prefix(19))  "
        + (snapshot.run.map { "run \($0)" } ?? "no run") + (snapshot.complete ? "" : "  not complete")
    }
    return lines.isEmpty ? "\(item.name)  nothing is stored" : lines.joined(separator: "\n")
  }
}
