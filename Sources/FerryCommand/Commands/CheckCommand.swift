import ArgumentParser
import Ferry

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Validates the manifest and asks both nodes whether it can be run. Changes nothing.")
  @OptionGroup var manifest: ManifestOptions
  @Flag(help: "Take a destination that looks too small for a warning.") var ignoreSpace = false
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let manifest = try manifest.load(by: engine)
    var options = RunOptions()
    options.ignoreSpace = ignoreSpace
    let report = try Foreground.wait { [options] in try await engine.check(manifest, options: options) }
    let errors = report.notices.count { $0.severity == .error }
    let exit: Ferry.ExitCode = errors == 0 ? .done : .checkFailed
    try output.show(Report(exit: exit, report: report), text(manifest, report))
    if errors > 0 {
      Console.complain("error: the check has found \(errors == 1 ? "1 error" : "\(errors) errors"); nothing was changed")
      throw Ending(exit)
    }
  }

  private func text(_ manifest: Manifest, _ report: PreflightReport) -> String {
    let items = Words.table(report.items.map(\.row))
    return
      ([items] + report.notices.map(Words.notice) + [
        "\(manifest.name) can \(report.hasErrors ? "not be run" : "be run"); nothing was changed"
      ])
      .filter { !$0.isEmpty }.joined(separator: "\n")
  }

  private struct Report: Encodable {
    var kind = "result"
    var exit: Ferry.ExitCode
    var report: PreflightReport
  }
}

extension PreflightReport {
  var hasErrors: Bool { notices.contains { $0.severity == .error } }
}

extension PreflightReport.Item {
  /// Name, provider, size at the source, room at the destination, tools.
  var row: [String] {
    let size = [bytes.map(Text.bytes), entries.map(Words.entries)].compactMap { $0 }.joined(separator: " in ")
    let tools = sourceVersions.keys.sorted().map { tool in
      let (left, right) = (sourceVersions[tool] ?? "", destinationVersions[tool])
      return right == nil || right == left ? "\(tool) \(left)" : "\(tool) \(left) → \(right ?? "")"
    }
    return [
      name, provider, size.isEmpty ? "size unknown" : size, room.map { "room for \(Text.bytes($0))" } ?? "", tools.joined(separator: ", "),
    ]
  }
}
