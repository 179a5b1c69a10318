import ArgumentParser
import Ferry

/// What ends a command that did not do what it is for.
struct Failure {
  let error: any Error
  let asJSON: Bool

  init(_ error: any Error, asJSON: Bool) {
    self.error = error
    self.asJSON = asJSON
  }

  /// Says it, for people on stderr and for programs on stdout, and answers the exit code.
  func tell() -> Int32 {
    switch error {
    case let end as Ending:
      return end.exit.rawValue
    case let errors as ManifestErrors:
      Console.complain("\(errors)\nerror: \(count(errors)); nothing was changed")
      return result(.usage, FerryError(.invalid, count(errors), hint: "nothing was changed"), errors.diagnostics)
    case let error as FerryError:
      Console.complain(Failure.sentence(error))
      return result(Ferry.ExitCode(error), error)
    default:
      return parsing()
    }
  }

  /// `error: what; state now; next command`.
  static func sentence(_ error: FerryError, state: String? = nil) -> String {
    let told = error.description.contains("nothing was changed") || state.map(error.description.contains) ?? true
    return "error: " + [error.message, told ? "" : state ?? "", error.hint].filter { !$0.isEmpty }.joined(separator: "; ")
  }

  /// An error of the argument parser, or what it uses errors for: help and the version.
  private func parsing() -> Int32 {
    let text = FerryTool.fullMessage(for: error)
    guard FerryTool.exitCode(for: error) != .success else {
      Console.line(text)
      return Ferry.ExitCode.done.rawValue
    }
    Console.complain(text.hasPrefix("Error: ") ? "error: \(text.dropFirst(7))" : text)
    return result(.usage, FerryError(.invalid, FerryTool.message(for: error)))
  }

  private func count(_ errors: ManifestErrors) -> String {
    let number = errors.diagnostics.count { $0.severity == .error }
    return "the manifest has \(number == 1 ? "1 error" : "\(number) errors")"
  }

  private func result(_ exit: Ferry.ExitCode, _ error: FerryError, _ diagnostics: [Diagnostic]? = nil) -> Int32 {
    if asJSON { try? Console.line(Result(exit: exit, error: error, diagnostics: diagnostics)) }
    return exit.rawValue
  }

  private struct Result: Encodable {
    var kind = "result"
    var exit: Ferry.ExitCode
    var error: FerryError
    var diagnostics: [Diagnostic]?
  }
}

/// Ends a command with a code when all has been said.
struct Ending: Error {
  let exit: Ferry.ExitCode
  init(_ exit: Ferry.ExitCode) { self.exit = exit }
}
