import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// A real library that knows nothing of Ferry: SQLite is frozen, moved and thawed through its own functions.
@Suite struct SQLiteTests {
  private static let descriptor = "\(Products.repository)/Plugins/SQLite/sqlite.yaml"
  private let folder: TemporaryFolder
  private let from: String
  private let to: String

  init() throws {
    folder = try TemporaryFolder()
    for name in ["a", "b", "plugins"] { try Files.makeFolder(folder(name)) }
    (from, to) = (folder("a/state.db"), folder("b/state.db"))
    try sql(from, "PRAGMA journal_mode=WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1), (2);")
    try folder.write("plugins/sqlite.yaml", String(decoding: try Files.read(Self.descriptor), as: UTF8.self), mode: 0o644)
  }

  @discardableResult private func sql(_ path: String, _ text: String) throws -> String {
    let outcome = try Command(["sqlite3", "-batch", path, text]).run()
    guard outcome.succeeded else { throw FerryError(.io, outcome.errors) }
    return outcome.output.split(separator: "\n").joined(separator: " ")
  }

  private func harness() throws -> Harness {
    try Harness(
      product: Self.descriptor, provider: "sqlite", folder: folder, from: ["file": .string(from)], to: ["file": .string(to)])
  }

  @Test("a database that others have open moves whole, with what is only in its log")
  func moves() throws {
    let harness = try harness()
    let digests = try harness.moveUntilVerified { try sql(from, "INSERT INTO t VALUES (3);") }
    #expect(digests.source == digests.destination)
    for _ in 0..<2 { try harness.call(.destination, .activate) }
    try harness.call(.source, .thaw)
    #expect(try sql(to, "SELECT group_concat(x) FROM t") == "1,2,3")
    #expect(try harness.digest(.destination, full: true, target: "active") == digests.source)
  }

  @Test("frozen, it is read and not written, until it is thawed or its process is gone")
  func freezes() throws {
    let harness = try harness()
    try harness.prepare()
    for isKilled in [false, true] {
      try harness.call(.source, .freeze)
      #expect(try sql(from, "SELECT count(*) FROM t") == "2")
      #expect(failure { try sql(from, "INSERT INTO t VALUES (9)") }?.message.contains("locked") == true)
      if isKilled { harness.kill(.source) }
      for _ in 0..<2 { try harness.call(.source, .thaw) }
      try sql(from, "UPDATE t SET x = x")
    }
  }

  @Test("a call empties the log, alone and as a step of a service; what is no call is named")
  func calls() throws {
    let ferry = "\(Products.ferry) call sqlite.checkpoint path=\(from) --plugins \(folder("plugins"))"
    // The last one to close a database empties its log anyway, so the writer stays while Ferry does.
    let size = ".shell stat -c 'log of %s' \(from)-wal"
    let outcome = try Command(["sqlite3", from, "INSERT INTO t VALUES (4)", size, ".shell \(ferry)", size]).run()
    let lines = outcome.output.split(separator: "\n").map(String.init)
    #expect(lines.count == 3 && lines[0] != "log of 0" && lines[2] == "log of 0", "\(outcome)")
    #expect(lines[1].hasPrefix("sqlite.checkpoint is done"))
    for (arguments, words) in [
      (["sqlite.chekpoint"], "did you mean 'sqlite.checkpoint'?"), (["sqlite.checkpoint"], "needs the value 'path'"),
      (["sqlite.checkpoint", "path=/nowhere/x", "y=1"], "has no value 'y'"), (["sqlite.checkpoint", "path=/nowhere/x"], "unable to open"),
    ] {
      let outcome = try Command([Products.ferry, "call"] + arguments + ["--plugins", folder("plugins")]).run()
      #expect(!outcome.succeeded && outcome.errors.contains(words), "\(arguments): \(outcome.errors)")
    }
  }

  @Test("a manifest's service is stopped by a call, and a hook makes one")
  func service() throws {
    try Files.makeFolder(folder("hooks/copy/source"))
    try folder.write("hooks/copy/source/10-log", "#!/bin/sh\nexec \"$FERRY\" call sqlite.checkpoint path=\(from) >&2\n", mode: 0o755)
    let manifest = try folder.write(
      "site.yaml",
      """
      ferry: 1
      name: site
      source: { node: local, home: \(folder("na")) }
      destination: { node: local, home: \(folder("nb")) }
      hooks: hooks
      services:
        - name: database
          destination: { name: "" }
          command:
            stop: ["call:sqlite.checkpoint", "path=\(from)"]
            start: ["true"]
      state:
        - { name: database, provider: sqlite, from: { file: \(from) }, to: { file: \(to) } }
      """)
    try sql(from, "INSERT INTO t VALUES (5)")
    let run = { (_ file: String) in
      try Command([Products.ferry, "run", file, "--plugins", folder("plugins"), "--state", folder("state")]).run()
    }
    let outcome = try run(manifest)
    #expect(outcome.succeeded, "\(outcome.output)\(outcome.errors)")
    #expect(try sql(to, "SELECT group_concat(x) FROM t") == "1,2,5")
    let wrong = try folder.read("site.yaml").replacing("call:sqlite.checkpoint", with: "call:sqlite.checkpont")
    let refused = try run(folder.write("wrong.yaml", wrong))
    #expect(!refused.succeeded && "\(refused.output)\(refused.errors)".contains("no descriptor has the call 'sqlite.checkpont'"))
  }
}
