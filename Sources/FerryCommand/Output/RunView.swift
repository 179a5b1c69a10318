import Ferry
import Synchronization

/// Shows the events of a run as they come: JSON lines, a ladder whose last line is rewritten on a terminal, or a line now and then.
final class RunView: Sendable {
  private struct State {
    var ladder: Ladder
    var live = ""
    var shownAt = -Double.infinity
    var run: String?
  }
  private let state: Mutex<State>
  private let json: Bool
  private let rewrites = Console.canRewrite
  /// Seconds between progress lines where they cannot be rewritten.
  private static let interval = 10.0

  init(phases: [Phase], json: Bool) {
    state = Mutex(State(ladder: Ladder(phases: phases)))
    self.json = json
  }

  /// The run, once it has begun.
  var run: String? { state.withLock { $0.run } }

  /// Shows one event.
  func show(_ event: Event) {
    state.withLock { state in
      state.run = event.run
      if json {
        try? Console.line(event)
        return
      }
      let change = state.ladder.take(event)
      var out = ""
      if let line = change.line { out += erase(&state) + line + "\n" }
      if let live = change.live { out += self.live(live, at: event, &state) }
      if !out.isEmpty { Console.write(out, to: 1) }
    }
  }

  /// Leaves the terminal's last line clean.
  func end() {
    state.withLock { state in
      let out = erase(&state)
      if !out.isEmpty { Console.write(out, to: 1) }
    }
  }

  private func erase(_ state: inout State) -> String {
    guard rewrites, !state.live.isEmpty else { return "" }
    state.live = ""
    return "\r\u{1B}[K"
  }

  private func live(_ text: String, at event: Event, _ state: inout State) -> String {
    if rewrites {
      let fitting = String(text.prefix(Console.width - 1))
      // Ten times a second is as much as an eye takes.
      guard fitting != state.live, event.kind != .progress || event.at - state.shownAt >= 0.1 else { return "" }
      state.live = fitting
      state.shownAt = event.at
      return "\r\(fitting)\u{1B}[K"
    }
    // The first progress of a phase waits its interval too: a short phase needs no line but its last.
    guard event.kind == .progress else {
      state.shownAt = event.at
      return ""
    }
    guard event.at - state.shownAt >= Self.interval else { return "" }
    state.shownAt = event.at
    return "\(text)\n"
  }
}
