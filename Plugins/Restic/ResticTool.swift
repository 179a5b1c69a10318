import FerryPluginKit

/// The restic program of this node.
struct ResticTool: Sendable {
  /// As it says it, "0.14.0".
  let version: String

  /// restic 0.14: the first with `--no-lock` for reading, repository format 2 and JSON for all that Ferry reads.
  static let oldest = [0, 14]

  /// Asks the installed one; throws if there is none.
  init(_ context: ProviderContext) throws {
    let outcome: Command.Outcome
    do { outcome = try context.run(Command(["restic", "version"], environment: ResticRepository.plain, timeout: .seconds(60))) } catch {
      throw FerryError(
        .precondition, "restic cannot be run here: \(FerryError.wrap(error).message)", hint: "install restic 0.14 or newer on this node")
    }
    guard outcome.succeeded else { throw FerryError(.precondition, "`restic version` failed: \(outcome.reason)") }
    try self.init(parsing: outcome.output)
  }

  /// "restic 0.14.0 compiled with go1.19.8 on linux/amd64", or "restic 0.16.4-dev (compiled manually) …".
  init(parsing text: String) throws {
    let words = text.split(separator: " ")
    guard words.count > 1, words[0] == "restic", words[1].first?.isNumber == true else {
      throw FerryError(.precondition, "`restic version` says what Ferry does not understand: \(text.prefix(80))")
    }
    version = String(words[1])
  }

  func isAtLeast(_ wanted: [Int]) -> Bool {
    !version.split { !$0.isNumber }.prefix(3).compactMap { Int($0) }.lexicographicallyPrecedes(wanted)
  }
  var isRecent: Bool { isAtLeast(Self.oldest) }
  /// From 0.15 on restic can leave holes where a file has them; before it writes zeros.
  var keepsHoles: Bool { isAtLeast([0, 15]) }
}
