import FerryPluginKit

/// What restic's words mean. Until 0.17 every failure has exit code 1, so the words are all there is.
enum ResticFailure {
  private static let meanings: [(ErrorClass, String, [String])] = [
    (.auth, "the password does not open the repository", ["wrong password or no key found"]),
    (
      .auth, "the repository's server refused the credentials",
      ["Access Denied", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "401 Unauthorized", "403 Forbidden"]
    ),
    (.conflict, "the repository is locked", ["already locked"]),
    (.io, "there is no space left", ["no space left on device", "disk quota exceeded"]),
    (.notFound, "there is no such snapshot", ["no matching ID", "no snapshot found", "no snapshots found"]),
    // Before what is damaged: how the line to an sshd ended is told in the same words as how a file ended.
    (.peer, "the repository cannot be reached", ["ssh command exited", "unable to start the sftp session"]),
    (
      .io, "the repository is damaged",
      [
        "ciphertext verification failed", "does not match", "hash mismatch", "repository contains errors", "not found in index",
        "not found in the index", "is not listed in the index", "invalid data returned", "load <data/", "load <index/", "unexpected EOF",
        "loading tree", "Pack ID",
      ]
    ),
    (.notFound, "there is no repository", ["unable to open config file", "Is there a repository at"]),
    (
      .peer, "the repository cannot be reached", ["connection refused", "no such host", "i/o timeout", "broken pipe"]
    ),
  ]

  private static let hints: [String: String] = [
    "the password does not open the repository": "check the item's secret 'password'",
    "the repository's server refused the credentials": "check the item's secrets for the backend",
    "the repository is locked": "another restic is at work on it; wait for its end, or `restic unlock` if its host is gone for good",
    "there is no space left": "free space where the repository or the target is",
    "the repository is damaged": "`restic check --read-data` tells how far; other snapshots may be whole",
    "there is no such snapshot": "`ferry snapshots` lists what is there",
  ]

  static func error(_ what: String, _ outcome: Command.Outcome) -> FerryError {
    error(what, code: outcome.code, lines: lines(outcome.errors))
  }

  static func error(_ what: String, code: Int32, lines: [String]) -> FerryError {
    // Within one text the first meaning counts: a damaged pack is often followed by words on what cannot be reached.
    let found = meanings.first { meaning in lines.contains { line in meaning.2.contains { line.contains($0) } } }
    // The line that says so: of a lock the last one is general advice, and an earlier one says whose it is.
    let telling = found.flatMap { meaning in lines.last { line in meaning.2.contains { line.contains($0) } } }
    let reason = lines.last { $0.hasPrefix("Fatal: ") }.map { String($0.dropFirst(7)) } ?? telling ?? lines.last { !$0.isEmpty }
    let said = reason.map { ": \($0)" } ?? (code > 128 ? ": ended by signal \(code - 128)" : ": exit code \(code)")
    guard let (kind, meaning, _) = found else {
      return FerryError(code > 128 ? .peer : .io, "restic \(what) failed\(said)")
    }
    return FerryError(kind, "restic \(what) failed, \(meaning)\(said)", hint: hints[meaning] ?? "")
  }

  /// Lines of people's text; what newer versions say in JSON is unwrapped.
  static func lines(_ text: String) -> [String] {
    text.split(separator: "\n").map { line in
      guard line.hasPrefix("{"), let message = try? JSONValue(parsing: line)["message"]?.string else { return String(line) }
      return message
    }
  }
}
