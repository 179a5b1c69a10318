import Ferry

/// Small pieces of text that several commands share.
enum Words {
  /// Seconds for the summary: `30s` rather than `30.0s`.
  static func short(_ seconds: Double) -> String {
    let text = Text.seconds(seconds)
    return text.hasSuffix(".0s") ? "\(text.dropLast(3))s" : text
  }

  /// Seconds without their unit where they stand in a row: `0.6`, `3m05s`.
  static func bare(_ seconds: Double) -> String { seconds < 59.95 ? String(Text.seconds(seconds).dropLast()) : Text.seconds(seconds) }

  /// Text in a column of so many characters.
  static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// Rows whose columns stand below each other.
  static func table(_ rows: [[String]]) -> String {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      var line = row.enumerated().map { padded($1, widths[$0]) }.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }

  /// `1 entry`, `2,011 entries`.
  static func entries(_ number: Int64) -> String { "\(Text.count(number)) \(number == 1 ? "entry" : "entries")" }

  /// Seconds behind three blanks, or nothing where they are too few to matter.
  static func took(_ seconds: Double?) -> String { seconds.map { $0 >= 0.05 ? "   \(Text.seconds($0))" : "" } ?? "" }

  static func notice(_ notice: Notice) -> String {
    let label = notice.severity == .info ? "note" : notice.severity.rawValue
    return "\(label): \(notice.text)\(notice.hint.isEmpty ? "" : "; \(notice.hint)")"
  }

  static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
  }
}

extension RunEntry {
  /// Seconds without service that are acceptable, if anybody said so.
  var budget: Double? { (options.maxDowntime ?? manifest.cutover.maxDowntime).map(Words.seconds) }

  /// The status as people read it: a run whose controller is gone does not run.
  var state: String { status == .running && !isAtWork ? "interrupted" : status.rawValue }

  /// The next commands that make sense.
  var next: [String] {
    switch status {
    case .running where isAtWork: ["ferry status \(id) --follow", "ferry cancel \(id)"]
    case .running, .incomplete: ["ferry resume \(id)", "ferry rollback \(id)"]
    case .kept: ["ferry rollback \(id)", "ferry cleanup \(id)"]
    case .done: ["ferry verify \(id)", "ferry receipt \(id)", "ferry cleanup \(id)"]
    case .undone: ["ferry logs \(id)", "ferry cleanup \(id)"]
    case .cleaned: []
    }
  }
}
