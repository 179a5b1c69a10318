import FerryPluginKit
import Glibc

/// The br program of this node.
struct BrTool {
  let context: ProviderContext
  let config: TidbConfig
  let secrets: Secrets

  var program: String { config.br ?? "br" }

  /// Its version, or nil if there is none. Asked once a process.
  func version() throws -> TidbVersion? {
    if let known = Self.versions.withLock({ $0[program] }) { return known }
    let found: TidbVersion?
    do {
      let outcome = try context.run(Command([program, "--version"], timeout: .seconds(60)))
      found = TidbVersion(in: outcome.output + outcome.errors, after: "Release Version:")
    } catch let error as FerryError where error.class == .notFound || error.class == .precondition { return nil }
    Self.versions.withLock { $0[program] = found }
    return found
  }

  private static let versions = Lock<[String: TidbVersion]>([:])

  /// The arguments of a backup or restore. A resume must give the very same, or br refuses its checkpoint: so they are journaled.
  func arguments(_ command: String, storage: String, log: String) throws -> [String] {
    guard let pd = config.endpoint.pd else {
      throw FerryError(.invalid, "br needs a PD server's address", hint: "add `pd` to the endpoint")
    }
    var words = [program, command]
    switch config.scope {
    case .full: words.append("full")
    case .database(let name): words += ["db", "--db", name]
    case .table(let database, let table): words += ["table", "--db", database, "--table", table]
    case .filter(let rules): words += ["full"] + rules.flatMap { ["-f", $0] }
    }
    // From 8.5.0 on checksums are off unless asked for.
    words += ["--pd", pd, "-s", storage, "--checksum=\(config.checksum ?? true)", "--log-file", log]
    if command == "backup" {
      // br's own safepoint must outlive a crash and the resume after it.
      words += ["--gcttl", "86400"]
    } else {
      words.append("--with-sys-table=\(config.accounts == .systemTables)")
    }
    if let rate = config.rateLimit { words += ["--ratelimit", String(rate)] }
    if let concurrency = config.concurrency { words += ["--concurrency", String(concurrency)] }
    if let encryption = config.encryption {
      words += ["--crypter.method", encryption.method, "--crypter.key-file", keyFile]
    }
    return words + clusterTLS
  }

  private var clusterTLS: [String] {
    guard let tls = config.endpoint.clusterTls else { return [] }
    return [("--ca", tls.ca), ("--cert", tls.cert), ("--key", tls.key)].flatMap { name, file in file.map { [name, $0] } ?? [] }
  }

  private var keyFile: String { "\(context.temporaryFolder)/crypter.key" }

  /// What a run of br said.
  struct Summary: Codable, Equatable {
    var backupTS: UInt64
    var size: Int64
  }

  /// Runs br to its end. If its log says that these arguments have come to their end before, that is taken: a crash may come between the
  /// end of br and Ferry's own note of it.
  func run(_ arguments: [String], storage: String, log: String) throws -> Summary {
    if let done = Self.summary(in: (try? Files.read(log, limit: 256 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? "") {
      return done
    }
    if config.encryption != nil {
      guard let key = secrets["encryption-key"] else {
        throw FerryError(.invalid, "encryption needs the secret encryption-key", hint: "add it under the item's 'secrets'")
      }
      try Files.replace(keyFile, with: Array(key.utf8))
    }
    defer { if config.encryption != nil { unlink(keyFile) } }
    let (context, secrets) = (context, secrets)
    let reached = Lock(Int64(0))
    // Without a terminal br tells of its progress in its log alone, and seldom.
    let heart = Heartbeat(context) {
      let text = (try? Files.read(log, limit: 256 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? ""
      guard let line = text.split(whereSeparator: \.isNewline).last(where: { $0.contains("[progress=") }),
        let share = Self.field("progress", in: line).flatMap({ Double($0.filter { $0.isNumber || $0 == "." }) })
      else { return }
      let now = Int64(share * 100)
      let isNew = reached.withLock { reached in
        defer { reached = max(reached, now) }
        return now > reached
      }
      if isNew { context.log(.debug, secrets.scrub(String(line.prefix(200)))) }
    }
    defer { heart.end() }
    var command = Command(arguments, environment: BackupStorage.environment(storage, secrets), timeout: config.stepLimit)
    // br puts its safepoint down and closes its checkpoint when it is asked to end.
    command.grace = .seconds(8)
    let said = Lock("")
    command.output = .lines { line in
      said.withLock { $0 += line + "\n" }
      context.log(.debug, secrets.scrub(line))
    }
    let outcome = try context.run(command)
    let text = said.withLock { $0 } + ((try? Files.read(log, limit: 256 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? "")
    guard outcome.succeeded else { throw Self.failure(outcome, text: text + outcome.errors, secrets) }
    guard let summary = Self.summary(in: text) else {
      throw FerryError(
        .unsupported, "\(program) ended with 0 and gave no summary with a BackupTS",
        hint: "what it wrote is in \(log); nothing is taken for done without it")
    }
    return summary
  }

  /// The end of the snapshot as the backup's own metadata has it. br prints words and ends with 0 where it does not know the field.
  func decodedTS(_ storage: String) throws -> UInt64? {
    var command = Command(
      [program, "debug", "decode", "--field", "EndVersion", "-s", storage], environment: BackupStorage.environment(storage, secrets),
      timeout: .seconds(600))
    command.environment["BR_LOG_TO_TERM"] = "1"
    let outcome = try context.run(command)
    let last = outcome.output.split(whereSeparator: \.isNewline).last.map { $0.trimmed } ?? ""
    guard outcome.succeeded, let number = UInt64(last), number > 0 else { return nil }
    return number
  }

  static func summary(in text: String) -> Summary? {
    for line in text.split(whereSeparator: \.isNewline).reversed() where line.lowercased().contains("success summary") {
      guard let ts = field("BackupTS", in: line).flatMap({ UInt64($0) }), ts > 0 else { continue }
      return Summary(backupTS: ts, size: field("Size", in: line).flatMap { Int64($0) } ?? 0)
    }
    return nil
  }

  /// The value of `[name=value]`; versions differ in the name's case.
  static func field(_ name: String, in line: some StringProtocol) -> String? {
    let mark = "[\(name.lowercased())="
    for part in line.split(separator: "]") {
      let part = part.trimmed
      if part.lowercased().hasPrefix(mark) { return String(part.dropFirst(mark.count)) }
    }
    return nil
  }

  private static let classes: [(String, ErrorClass, String)] = [
    ("NotFreshCluster", .conflict, "the destination must hold none of the tables that come"),
    ("GCSafepointExceeded", .precondition, "garbage collection has passed the snapshot"),
    ("VersionMismatch", .precondition, "use the br of the clusters' version"),
    ("ErrInvalidArgument", .invalid, ""), ("ErrStorage", .io, "is the storage there, and does the key fit?"),
    ("BR:PD", .retry, "is `pd` right?"),
    ("BR:KV", .io, ""), ("ChecksumMismatch", .io, "the backup is not what was read: run again"),
  ]

  static func failure(_ outcome: Command.Outcome, text: String, _ secrets: Secrets) -> FerryError {
    if outcome.timedOut { return FerryError(.retry, "br did not end within step-limit") }
    let code = text.ranges(of: "[BR:").last.flatMap { text[$0.lowerBound...].split(separator: "]").first.map { String($0.dropFirst()) } }
    let known = classes.first { code?.contains($0.0) == true || (code == nil && text.contains($0.0)) }
    let words = text.split(whereSeparator: \.isNewline).last { $0.contains("Error:") || $0.contains("error=") }.map {
      String($0.trimmed.prefix(400))
    }
    return FerryError(
      known?.1 ?? .io, secrets.scrub("br failed\(code.map { " with \($0)" } ?? ""): \(words ?? outcome.reason)"), hint: known?.2 ?? "")
  }
}

extension StringProtocol {
  /// Without blanks at its ends.
  var trimmed: String {
    String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
  }
}
