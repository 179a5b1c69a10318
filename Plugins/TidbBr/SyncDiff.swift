import FerryPluginKit
import Glibc

/// PingCAP's sync-diff-inspector, where this node has it: one more proof, by a program that shares nothing with Ferry. It is run at the source, which
/// knows how TiCDC reaches the destination, and compares structure and rows, of a snapshot where there is one.
struct SyncDiff {
  static let program = "sync_diff_inspector"
  private static let key = "compared"
  private static let settingsNumber: Int32 = 3

  let context: ProviderContext
  let config: TidbConfig
  let secrets: Secrets
  let sink: TidbOffer.Sink

  /// The program, or nil where there is none or none is wanted.
  private func path() throws -> String? {
    switch config.syncDiff ?? "auto" {
    case "none": return nil
    case "auto": return try? Programs.find(Self.program)
    case let named:
      guard access(named, X_OK) == 0 else {
        throw FerryError(
          .precondition, "\(named) cannot be run at the source",
          hint: "install sync-diff-inspector there, or take `sync-diff-inspector` away")
      }
      return named
    }
  }

  /// What it found equal, in words; nil where it is not there. `moment` is the snapshot; `state` says what is compared: twice is once.
  func compare(_ tables: [TableName], at moment: UInt64?, state: String) throws -> String? {
    guard !tables.isEmpty, let path = try path() else { return nil }
    if let done = try context.kv.get(Self.key, as: [String: String].self)?[state] { return done }
    guard sink.tls != true || sink.files != nil else {
      context.log(
        .warning, "\(Self.program) is not used: it reaches the destination by TLS only, and `to.sink-tls` names no files for that")
      return nil
    }
    // Its log may hold its settings, and its fixes hold rows.
    let output = "\(context.temporaryFolder)/sync-diff"
    try Files.remove(output)
    defer { try? Files.remove(output) }
    let settings = try unlinked(text(tables, moment, output))
    var command = Command([path, "--config", "/dev/fd/\(Self.settingsNumber)"], timeout: config.stepLimit)
    command.descriptors = [Self.settingsNumber: settings.number]
    let heart = Heartbeat(context) {}
    defer { heart.end() }
    let outcome = try context.run(command)
    let said = secrets.scrub(outcome.output + outcome.errors).split(whereSeparator: \.isNewline).map { $0.trimmed }.filter { !$0.isEmpty }
    guard outcome.succeeded else { throw failure(outcome, said) }
    // Exit code 0 alone is no evidence.
    guard let summary = said.first(where: { $0.hasPrefix("A total of") && $0.contains("all are equal") }) else {
      throw FerryError(
        .unsupported, "\(path) ended with 0 and did not say that all tables are equal: \(said.last ?? "it said nothing")",
        hint: "use another version, or `sync-diff-inspector: none`")
    }
    try context.kv.put(Self.key, [state: summary])
    context.log(.info, "\(Self.program): \(summary)")
    return summary
  }

  private func failure(_ outcome: Command.Outcome, _ said: [String]) -> FerryError {
    if outcome.timedOut { return FerryError(.retry, "\(Self.program) did not end within step-limit") }
    let different = said.filter { $0.contains("is not equal") || $0.contains("does not exist in") }
    guard outcome.code == 1, !different.isEmpty else {
      return FerryError(
        .io, "\(Self.program) failed with exit code \(outcome.code): \(said.last ?? "it said nothing")",
        hint: "can the source's node reach \(sink.host):\(sink.port)? `sync-diff-inspector: none` does without it")
    }
    return FerryError(
      .io, "\(Self.program): \(different.prefix(5).joined(separator: "; "))", hint: "the source goes on serving; roll back and run again")
  }

  /// Its settings, as TOML.
  private func text(_ tables: [TableName], _ moment: UInt64?, _ output: String) -> String {
    let own = config.endpoint
    var source = [
      "host = \(quoted(own.host))", "port = \(own.port ?? 4000)", "user = \(quoted(own.user ?? "root"))",
      "password = \(quoted(secrets["from-password"] ?? ""))",
    ]
    if let moment { source.append("snapshot = \"\(moment)\"") }
    source += security(of: "source", own.tls)
    let names = tables.map { quoted("`\(escaped($0.database))`.`\(escaped($0.name))`") }.joined(separator: ", ")
    return """
      check-thread-count = \(config.concurrency ?? 4)
      export-fix-sql = false
      check-struct-only = false
      [data-sources.source]
      \(source.joined(separator: "\n"))
      [data-sources.target]
      host = \(quoted(sink.host))
      port = \(sink.port)
      user = \(quoted(sink.user))
      password = \(quoted(secrets["sink-password"] ?? secrets["to-password"] ?? ""))
      \(security(of: "target", sink.files).joined(separator: "\n"))
      [task]
      output-dir = \(quoted(output))
      source-instances = ["source"]
      target-instance = "target"
      target-check-tables = [\(names)]

      """
  }

  /// The files by which one of the two is reached.
  private func security(of name: String, _ tls: TLSFiles?) -> [String] {
    guard let tls else { return [] }
    return ["[data-sources.\(name).security]"]
      + [("ca-path", tls.ca), ("cert-path", tls.cert), ("key-path", tls.key)].compactMap { key, file in
        file.map { "\(key) = \(quoted($0))" }
      }
  }

  /// In a name between backquotes.
  private func escaped(_ name: String) -> String { name.replacing("`", with: "``") }

  /// A basic string of TOML.
  private func quoted(_ text: String) -> String {
    let escaped = text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"", "\\": "\\\(scalar)"
      case "\u{0}"..<" ", "\u{7f}": "\\u00\(scalar.value < 16 ? "0" : "")\(String(scalar.value, radix: 16))"
      default: String(scalar)
      }
    }
    return "\"\(escaped.joined())\""
  }

  /// Passwords are in it: a file that has no name, and goes with its descriptor.
  private func unlinked(_ text: String) throws -> Descriptor {
    let path = "\(context.temporaryFolder)/sync-diff.toml"
    let file = try Descriptor.open(path, O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
    unlink(path)
    try file.write(Array(text.utf8))
    return file
  }
}
