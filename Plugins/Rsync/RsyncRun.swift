import FerryPluginKit
import FerryTree
import Glibc

/// Runs rsync, tells how far it is, and turns its end into a result.
struct RsyncRun {
  let context: ProviderContext
  let lines = RsyncLines()

  /// Runs to the end; only a cancelled or unstartable rsync throws.
  func run(_ arguments: [String], environment: [String: String?] = [:], descriptors: [Int32: Int32] = [:], stream: Int32? = nil) throws
    -> Int32
  {
    var command = Command(["rsync"] + arguments, environment: RsyncTool.environment.merging(environment) { _, own in own })
    let (context, lines) = (context, lines)
    command.descriptors = descriptors
    command.errors = .lines { lines.error($0) }
    if let stream {
      command.input = .descriptor(stream)
      command.output = .descriptor(stream)
    } else {
      command.output = .lines {
        lines.output($0)
        let state = lines.now
        context.progress(bytes: state.bytes, of: 0, entries: state.entries, of: state.total)
      }
    }
    // rsync is silent while it reads lists and compares: the bytes that it reads and writes show that it lives.
    let pulse = ChildActivity { read in
      let state = lines.now
      context.progress(bytes: stream == nil ? state.bytes : read, of: 0, entries: state.entries, of: state.total)
    }
    defer { pulse.end() }
    return try context.run(command).code
  }

  /// What the sending rsync did. In a hot pass files may vanish or be unreadable; in the final one nothing may.
  func report(code: Int32, isFinal: Bool) throws -> PassReport {
    let state = lines.now
    let isHotLoss = code == 24 || (code == 23 && state.others == 0 && !state.unread.isEmpty)
    guard code == 0 || (!isFinal && isHotLoss) else { throw RsyncFailure.error(code: code, lines: state.errors, isFinal: isFinal) }
    func count(_ name: String) -> Int64 { state.statistics[name] ?? 0 }
    // No statistics, no evidence: an exit code alone proves nothing.
    guard let files = state.statistics["Number of files"] else {
      throw FerryError(.internal, "rsync ended well but said nothing about what it did")
    }
    let created = count("Number of created files")
    return PassReport(
      bytes: count("Literal data"), entries: files,
      changed: max(created, count("Number of regular files transferred")) + count("Number of deleted files"),
      vanished: isFinal ? nil : state.vanished, unread: isFinal || state.unread.isEmpty ? nil : state.unread)
  }
}
