import Ferry
import Glibc

/// Reads a run's event log, which its controller writes, whoever that is.
struct EventTail {
  let engine: Engine
  let run: String

  /// Shows the events as the controller itself would, until no controller is at work any more.
  func show(phases: [Phase], json: Bool) throws {
    let view = RunView(phases: phases, json: json)
    defer { view.end() }
    try read(follow: true) { view.show($0) }
  }

  /// Calls for each event there is; with `follow` also for those that come.
  func read(follow: Bool, _ take: (Event) throws -> Void) throws {
    var offset = 0
    while true {
      // Asked before reading: what was written before the end is read after it.
      let isOver = try !follow || !engine.find(run).isAtWork
      for event in try engine.events(run, from: &offset) { try take(event) }
      if isOver { return }
      usleep(200_000)
    }
  }
}
