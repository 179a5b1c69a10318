import FerryPluginKit

/// What rsync's exit codes mean, and which of its lines says why.
enum RsyncFailure {
  private static let meanings: [Int32: (ErrorClass, String)] = [
    1: (.invalid, "a rule or an option that rsync does not understand"),
    2: (.unsupported, "the two rsyncs do not understand each other's protocol"),
    3: (.notFound, "a file or folder that rsync was given cannot be used"),
    4: (.unsupported, "one of the two rsyncs was built without something that this needs"),
    5: (.auth, "the rsync daemon refused the connection"),
    6: (.io, "the rsync daemon cannot write its log"),
    10: (.peer, "the connection to the rsync daemon failed"),
    11: (.io, "a file cannot be read or written"),
    12: (.peer, "the other end closed the stream"),
    13: (.io, "rsync cannot say its messages"),
    14: (.io, "processes of rsync cannot talk to each other"),
    20: (.peer, "rsync was ended from outside"),
    21: (.io, "a process of rsync cannot be waited for"),
    22: (.io, "there is not enough memory"),
    23: (.io, "some files could not be moved"),
    24: (.io, "files vanished while they were read"),
    30: (.retry, "no data for too long"),
    35: (.retry, "the rsync daemon did not answer in time"),
  ]

  /// What follows when the other end is gone. rsync takes over the other one's exit code, but its reason stays at the other end.
  private static let echoes = ["connection unexpectedly closed", "Broken pipe", "Connection reset"]

  static func error(code: Int32, lines: [String], isFinal: Bool = false) -> FerryError {
    let known = meanings[code]
    let (kind, meaning) =
      known ?? (code > 128 ? (.peer, "rsync was ended by signal \(code - 128)") : (.internal, "an exit code that has no known meaning"))
    var hint = ""
    if isFinal, code == 24 { hint = "something still writes at the source after its services were stopped: name it under `services`" }
    if code == 1 { hint = "check `exclude`, `include` and `filter-file`" }
    let said = reason(lines).map { ": \($0)" } ?? ""
    // Nothing of one's own to say: the cause is at the other end, and so is the text.
    let isOurs = causes(lines).contains { !isEcho($0) }
    return FerryError(
      full(lines) ? .io : kind == .io && !isOurs ? .peer : kind, "rsync failed with code \(code), \(meaning)\(said)",
      hint: full(lines) ? "free space at the destination" : hint)
  }

  /// The last line that names a cause: what follows from a broken connection names none.
  static func reason(_ lines: [String]) -> String? {
    let causes = causes(lines)
    return causes.last { !isEcho($0) } ?? causes.last ?? lines.last
  }

  private static func causes(_ lines: [String]) -> [String] {
    lines.filter { !$0.hasPrefix("rsync error:") && !$0.hasPrefix("rsync warning:") && !$0.allSatisfy(\.isWhitespace) }
  }

  private static func isEcho(_ line: String) -> Bool { echoes.contains { line.contains($0) } }

  private static func full(_ lines: [String]) -> Bool { lines.contains { $0.contains("No space left on device") } }
}
