import ArgumentParser
import Ferry

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan", abstract: "Tells what a run would do, item by item. Changes nothing.")
  @OptionGroup var manifest: ManifestOptions
  @OptionGroup var flags: RunOptionFlags
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let manifest = try manifest.load(by: engine)
    try Self.show(manifest, flags.options(), engine, output)
  }

  /// Tells what a run of it would do.
  static func show(_ manifest: Manifest, _ options: RunOptions, _ engine: Engine, _ output: OutputOptions) throws {
    let plan = try Foreground.wait { try await engine.plan(manifest, options: options) }
    try output.show(plan, text(plan, options))
    guard !plan.preflight.hasErrors else {
      Console.complain("error: the run would fail in check; nothing was changed")
      throw Ending(.checkFailed)
    }
  }

  private static func text(_ plan: Plan, _ options: RunOptions) -> String {
    let manifest = plan.manifest
    let budget = (options.maxDowntime ?? manifest.cutover.maxDowntime).map(Words.seconds)
    let holds = Set(manifest.cutover.holdBefore + options.holdBefore)
    var downtime = "unknown until the copy has shown what there is to do"
    if let predicted = plan.predictedOutage { downtime = "\(Text.seconds(predicted)), as measured in run \(plan.predictedFrom ?? "")" }
    if let budget {
      downtime +=
        "; more than \(Words.short(budget)) \(manifest.cutover.onMiss == .abort ? "aborts before the service is touched" : "is said, and the run goes on")"
    }
    let facts = Words.table([
      ["services", manifest.services.isEmpty ? "none" : manifest.services.map(\.name).joined(separator: ", ")],
      ["channel", plan.channel],
      ["phases", plan.phases.map { holds.contains($0) ? "(wait) \($0.rawValue)" : $0.rawValue }.joined(separator: " → ")],
      ["verify", "\(manifest.verify.rawValue), \(manifest.digestAlgorithm.rawValue)"],
      ["downtime", downtime],
    ])
    let items = Words.table(plan.preflight.items.map { ["  \($0.row[0])"] + $0.row.dropFirst() })
    let head = "\(manifest.mode.rawValue) \(manifest.name) from \(manifest.source.name) to \(manifest.destination.name)"
    return ([head, items, facts] + plan.preflight.notices.map(Words.notice) + ["nothing was changed"]).filter { !$0.isEmpty }.joined(
      separator: "\n")
  }
}
