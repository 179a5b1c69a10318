import FerryPluginKit

/// Runs `restic backup --json`: tells how far it is, and turns its end into a result.
struct ResticBackup {
  let context: ProviderContext
  private let state = Lock(State())

  private struct State {
    var summary: JSONValue?
    var vanished: Int64 = 0
    var unread: [String] = []
    /// Errors of reading that were counted in one of the two.
    var lines: [String] = []
    /// How far it was when that last changed.
    var (done, since) = (Int64(-1), ContinuousClock.now)
  }

  /// restic 0.14 waits for ever when the disk of its repository runs full while it writes the last packs: its upload has ended, and what
  /// waits for it is not told. So one that stands still for this long beside a disk with no room for another pack or two is given up.
  private static let standstill = (time: Duration.seconds(30), room: Int64(64 << 20))

  init(context: ProviderContext) { self.context = context }

  /// The result and the snapshot's id. In a hot pass files may vanish or be unreadable; in the final one nothing may.
  func run(_ prepared: Command, _ repository: ResticRepository, isFinal: Bool) throws -> (PassReport, snapshot: String) {
    var command = prepared
    let (context, state) = (context, state)
    let (folder, surrender) = (repository.location.folder, Cancellation())
    command.output = .lines { line in
      Self.take(line, state, context)
      guard let folder, state.withLock({ ContinuousClock.now - $0.since > Self.standstill.time }) else { return }
      if let room = Files.room(in: folder), room < Self.standstill.room { surrender.cancel() }
    }
    command.errors = .lines { Self.take($0, state, context) }
    command.surrender = surrender
    let outcome = try repository.run(command)
    let now = state.withLock { $0 }
    if outcome.timedOut {
      throw ResticFailure.error(
        "backup", code: 1, lines: now.lines + ["restic stood still: no space left on device with \(folder ?? "it")"])
    }
    let isHotLoss = outcome.code == 3 && !isFinal && now.lines.isEmpty
    guard outcome.succeeded || isHotLoss else {
      if outcome.code == 3, let first = now.unread.first {
        throw FerryError(.io, "restic could not read \(first)\(now.unread.count > 1 ? " and \(now.unread.count - 1) more" : "")")
      }
      if outcome.code == 3, now.vanished > 0 {
        throw FerryError(
          .io, "files vanished while restic read them",
          hint: "something still writes at the source after its services were stopped: name it under `services`")
      }
      throw ResticFailure.error("backup", code: outcome.code, lines: now.lines)
    }
    // No summary, no evidence: an exit code alone proves nothing.
    guard let summary = now.summary, let snapshot = summary["snapshot_id"]?.string, !snapshot.isEmpty else {
      throw FerryError(.internal, "restic ended well but said nothing of a snapshot")
    }
    func count(_ names: String...) -> Int64 { names.reduce(0) { $0 + (summary[$1]?.int ?? 0) } }
    let report = PassReport(
      bytes: count("data_added"),
      entries: count("files_new", "files_changed", "files_unmodified", "dirs_new", "dirs_changed", "dirs_unmodified"),
      changed: count("files_new", "files_changed"), vanished: isFinal ? nil : now.vanished,
      unread: isFinal || now.unread.isEmpty ? nil : now.unread)
    return (report, snapshot)
  }

  private static func take(_ line: String, _ state: Lock<State>, _ context: ProviderContext) {
    // The errors themselves have come before; this line adds nothing.
    if line.hasPrefix("Warning: at least one source file could not be read") { return }
    guard line.hasPrefix("{"), let value = try? JSONValue(parsing: line), let kind = value["message_type"]?.string else {
      return state.withLock { if $0.lines.count < 40 { $0.lines.append(line) } }
    }
    switch kind {
    case "status":
      let done = value["bytes_done"]?.int ?? 0
      state.withLock { if $0.done != done { ($0.done, $0.since) = (done, .now) } }
      context.progress(
        bytes: done, of: value["total_bytes"]?.int ?? 0, entries: value["files_done"]?.int ?? 0,
        of: value["total_files"]?.int ?? 0)
    case "summary": state.withLock { $0.summary = value }
    case "error":
      let error = value["error"]
      let isGone = error?["Err"]?.int == 2 || error?["message"]?.string?.contains("no such file or directory") == true
      state.withLock { state in
        if isGone {
          state.vanished += 1
        } else if state.unread.count < 1000 {
          state.unread.append(value["item"]?.string ?? "a file")
        }
      }
    default: state.withLock { if $0.lines.count < 40 { $0.lines.append(value["message"]?.string ?? line) } }
    }
  }
}
