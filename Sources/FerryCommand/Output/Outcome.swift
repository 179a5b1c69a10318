import Ferry
import Glibc

/// Takes a session of a run from its first event to its exit code: the same for run, resume and rollback.
enum Outcome {
  /// Shows the events of `session`, then how it ended. Ctrl-C cancels; a second one leaves at once.
  static func follow(
    phases: [Phase], budget: Double?, run known: String? = nil, json: Bool,
    _ session: @escaping @Sendable (@escaping @Sendable (Event) -> Void) async throws -> RunResult
  ) throws {
    let view = RunView(phases: phases, json: json)
    let result = try Foreground.wait(onInterrupt: { count in
      view.end()
      let run = view.run ?? known
      if count == 1 {
        Console.complain("interrupted: the run goes back; once more leaves it as it is")
      } else {
        let way = run.map { "`ferry resume \($0)` goes on, `ferry rollback \($0)` undoes it" } ?? "`ferry history` lists all runs"
        Console.complain("left at once: nothing was undone; \(way)")
        _exit(Ferry.ExitCode.resumable.rawValue)
      }
    }) {
      try await session { view.show($0) }
    }
    view.end()
    if json {
      try Console.line(ResultLine(result))
    } else if let receipt = result.receipt {
      Console.line(Summary(receipt: receipt, budget: budget).text)
    }
    complain(result)
    if !json, result.error == nil, result.receipt == nil, result.exit == .done { Console.line("run \(result.run) is undone: \(serves)") }
    throw Ending(result.exit)
  }

  private static let serves = "the source serves as before"

  private static func complain(_ result: RunResult) {
    if let error = result.error { Console.complain(Failure.sentence(error, state: state(result))) }
    for step in result.remaining { Console.complain("  still to do: \(step)") }
  }

  private static func state(_ result: RunResult) -> String? {
    switch result.status {
    case .undone: result.exit == .checkFailed ? "nothing was changed" : "\(serves); `ferry logs \(result.run)` tells more"
    case .kept: "\(serves), what was received is kept at the destination; `ferry cleanup \(result.run)` removes it"
    case .running: "run \(result.run) can be resumed"
    case .incomplete: "run \(result.run) is neither done nor undone, a person is needed"
    case .done, .cleaned: nil
    }
  }
}
