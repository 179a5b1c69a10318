import Ferry

/// Turns the events of a run into lines: which phase of how many, what it does, and how far it has come. Pure; `RunView` prints it.
struct Ladder {
  /// What an event makes of the screen.
  struct Change: Equatable {
    /// A line that stays.
    var line: String?
    /// The line that is rewritten in place, if it changes.
    var live: String?
  }

  private let phases: [Phase]
  private var phase: Phase?
  private var phaseBegan = 0.0
  private var lastBytes: [String: Int64] = [:]
  private var meter = ProgressMeter()

  init(phases: [Phase]) { self.phases = phases }

  /// What to show for an event.
  mutating func take(_ event: Event) -> Change {
    switch event.kind {
    case .session: return Change(line: "run \(event.run): \(event.text ?? "")")
    case .phaseBegan:
      phase = event.phase
      phaseBegan = event.at
      meter = ProgressMeter()
      return Change(live: rung(event.phase, "…"))
    case .phaseEnded:
      defer { phase = nil }
      return Change(line: rung(event.phase, "done\(Words.took(event.at - phaseBegan))"))
    case .pass:
      meter.forget(event.item)
      return Change(line: rung(event.phase, pass(event)))
    case .progress:
      meter.take(event)
      return Change(live: rung(phase, meter.text))
    case .service:
      return Change(line: rung(phase, "\(event.item ?? "service") \(event.text ?? "")\(place(event))\(Words.took(event.seconds))"))
    case .predicted:
      return Change(line: rung(event.phase, "predicted downtime \(Text.seconds(event.seconds ?? 0)): \(event.text ?? "")"))
    case .waiting:
      return Change(line: rung(event.phase, "waiting for a person; `\(event.text ?? "")` goes on"))
    case .log:
      // What is only information is in `ferry logs`.
      guard event.level ?? 1 >= 2 else { return Change() }
      return Change(line: "      \(event.item ?? "node")\(place(event)): \(event.text ?? "")")
    case .notice: return Change(line: "      note: \(event.text ?? "")")
    case .error:
      guard let failed = event.phase else { return Change(line: "      failed: \(event.text ?? "")") }
      return Change(line: rung(failed, "failed: \(event.text ?? "")"))
    case .ended: return Change()
    }
  }

  private func rung(_ phase: Phase?, _ text: String) -> String {
    guard let phase else { return "      \(text)" }
    let number = phases.firstIndex(of: phase).map { "[\($0 + 1)/\(phases.count)]" } ?? "[-]"
    return "\(number) \(Words.padded(phase.rawValue, 9)) \(text)"
  }

  private func place(_ event: Event) -> String { event.side.map { " at the \($0.rawValue)" } ?? "" }

  private mutating func pass(_ event: Event) -> String {
    let item = event.item ?? ""
    let bytes = event.bytes ?? 0
    var text = "pass \(event.pass ?? 0)   \(item) \(Text.bytes(bytes))"
    if let before = lastBytes[item], before != bytes { text += " \(bytes < before ? "▼" : "▲") from \(Text.bytes(before))" }
    lastBytes[item] = bytes
    return text + Words.took(event.seconds)
  }
}
