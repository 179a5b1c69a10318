import FerrySystem

/// Keeps a provider's log readable whatever the provider does: so many lines a second, so many characters a line; the rest is counted.
struct LogLimiter {
  static let linesPerSecond = 200
  static let lineLength = 2000

  private var windowStart = ContinuousClock.now
  private var admitted = 0
  private var dropped = 0

  /// The lines to pass on for this one: none, the line, or a word about what was dropped before it.
  mutating func admit(_ line: HostLogLine) -> [HostLogLine] {
    var lines: [HostLogLine] = []
    if windowStart.duration(to: .now) > .seconds(1) {
      lines = finish()
      windowStart = .now
      admitted = 0
    }
    guard admitted < Self.linesPerSecond else {
      dropped += 1
      return lines
    }
    admitted += 1
    var line = line
    let length = line.text.utf8.count
    // Host and node both limit: the word at the end must survive the second time.
    if length > Self.lineLength + 32 {
      line.text = String(decoding: line.text.utf8.prefix(Self.lineLength), as: UTF8.self) + "… (\(length) bytes)"
    }
    return lines + [line]
  }

  /// A word about what was dropped, if anything was.
  mutating func finish() -> [HostLogLine] {
    defer { dropped = 0 }
    return dropped == 0
      ? [] : [HostLogLine(level: .warning, text: "\(dropped) lines of the log were dropped: more than \(Self.linesPerSecond) a second")]
  }
}
