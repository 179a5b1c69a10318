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
      Console.complain("\(errors)\n\(Failure.sentence(errors.summary))")
      return end(ResultLine(errors))
    case let error as FerryError:
      Console.complain(Failure.sentence(error))
      return end(ResultLine(error))
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
    return end(ResultLine(exit: .usage, error: FerryError(.invalid, FerryTool.message(for: error))))
  }

  private func end(_ line: ResultLine) -> Int32 {
    if asJSON { try? Console.line(line) }
    return line.exit.rawValue
  }
}

/// Ends a command with a code when all has been said.
struct Ending: Error {
  let exit: Ferry.ExitCode
  init(_ exit: Ferry.ExitCode) { self.exit = exit }
}
