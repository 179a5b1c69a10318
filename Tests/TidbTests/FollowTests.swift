import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct FollowTests {
    @Test("what is written after the snapshot arrives, up to the barrier and not beyond", arguments: ["follow", "move", "copy"])
    func follows(_ mode: String) throws {
      let migration = try Migration(mode: mode, keys: mode == "copy" ? ["data": "incremental"] : [:])
      #expect(try migration.errors(.source) == [])
      let digests = try migration.run {
        try migration.write(10)
        try migration.harness.pass()
        try migration.write(11)
      }
      #expect(digests.source["root"] == digests.destination["root"])
      #expect(digests.source["entries"] == digests.destination["entries"])
      #expect(try migration.isEqual())
      #expect(try migration.residue() == nil)
      let databases = try migration.contract.control(["do": "databases", "cluster": "target"]).array ?? []
      #expect(!databases.contains("ferry_follows"))
      #expect(try migration.contract.rows("source").object?.isEmpty == false)
      // A copy's source serves again; that of a move stays read-only, with its data.
      let refused = failure { try migration.write(12) }
      #expect(refused?.isSQL(1836) == (mode == "copy" ? nil : true))
      if mode == "copy" { #expect(try !migration.isEqual()) }
    }

    private static let definitions = [
      "CREATE TABLE shop.later (id INT PRIMARY KEY, text VARCHAR(20))", "INSERT INTO shop.later VALUES (1, 'one')",
      "UPDATE shop.orders SET item = 'before' WHERE id = 2", "ALTER TABLE shop.orders ADD COLUMN note VARCHAR(20)",
      "UPDATE shop.orders SET note = 'after' WHERE id = 2", "DROP TABLE crm.people", "CREATE DATABASE fresh",
      "CREATE TABLE fresh.things (id INT PRIMARY KEY)", "INSERT INTO fresh.things VALUES (7)",
    ]

    @Test("tables that are made, changed and dropped meanwhile are so at the destination, in the order of the source")
    func definitions() throws {
      let migration = try Migration(mode: "follow")
      let digests = try migration.run { for statement in Self.definitions { try migration.contract.run("source", statement) } }
      #expect(digests.source["root"] == digests.destination["root"])
      #expect(try migration.isEqual())
      #expect(
        try migration.contract.rows("target").object?.keys.sorted() == ["fresh.things", "shop.later", "shop.orders", "shop.stock"])
    }

    @Test("an undo removes what TiCDC has made as well")
    func undoesDefinitions() throws {
      let migration = try Migration(mode: "follow")
      try migration.contract.run("target", "CREATE DATABASE other")
      try migration.harness.prepare()
      try migration.harness.pass()
      for statement in Self.definitions { try migration.contract.run("source", statement) }
      try migration.harness.pass()
      try migration.harness.pass()
      try #require(migration.contract.rows("target").object?["fresh.things"] != nil)
      try migration.undo()
      #expect(try migration.contract.rows("target") == [:])
      #expect(try migration.contract.control(["do": "databases", "cluster": "target"]) == ["other", "test"])
      #expect(try migration.residue() == nil)
    }

    @Test("GC is held until the changefeed protects itself, and an hour passes at each place without harm", arguments: [true, false])
    func holds(_ isHeld: Bool) throws {
      let migration = try Migration(mode: "follow")
      func hour() throws { try migration.contract.control(["do": "advance", "cluster": "source", "seconds": 3600]) }
      try migration.harness.prepare()
      #expect(try migration.contract.variable("source", "tidb_gc_life_time") == "720h0m0s")
      // Without the hold, BR's own safepoint is gone with its success, and so is the changefeed's beginning.
      if !isHeld { try migration.contract.control(["do": "variable", "cluster": "source", "name": "tidb_gc_life_time", "value": "20m0s"]) }
      try hour()
      if isHeld {
        try migration.harness.pass()
        #expect(try migration.contract.variable("source", "tidb_gc_life_time") == "10m0s")
        try migration.write(10)
        try hour()
        try migration.run()
        #expect(try migration.isEqual())
      } else {
        // The pass sees that somebody took the hold away, and holds again before the backup.
        try migration.harness.pass()
        #expect(migration.harness.log.contains("changed to 20m0s by somebody else"))
        try migration.undo()
        #expect(try migration.contract.variable("source", "tidb_gc_life_time") == "20m0s")
      }
    }

    @Test("without the hold nothing keeps the snapshot's history once BR has let go of it, and that is said as what it is")
    func safepointDropped() throws {
      let migration = try Migration(mode: "follow")
      // The hold, br's backup, br's restore: there the hold is taken away, and two hours pass.
      try migration.contract.control(["do": "pause", "event": 3, "when": "after"])
      let said = Lock<FerryError?>(nil)
      let done = Signal()
      Threads.detach {
        let error = failure { try migration.run() }
        said.withLock { $0 = error }
        done.raise()
      }
      try waitFor("the restore") { try migration.contract.control(["do": "paused"]) == true }
      #expect(try migration.contract.events.last?.contains("br restore") == true)
      #expect(try migration.contract.look("source")["safepoints"] == [:])
      try migration.contract.control(["do": "variable", "cluster": "source", "name": "tidb_gc_life_time", "value": "10m0s"])
      try migration.contract.control(["do": "advance", "cluster": "source", "seconds": 7200])
      try migration.contract.control(["do": "resume"])
      #expect(done.wait(atMost: .seconds(60)))
      let error = said.withLock { $0 }
      #expect(error?.class == .precondition && error?.message.contains("ErrStartTsBeforeGC") == true, "\(String(describing: error))")
      try migration.undo()
      #expect(try migration.residue() == nil)
    }

    @Test("a value that somebody else has set meanwhile is theirs, and stays")
    func compareAndSet() throws {
      let migration = try Migration()
      try migration.harness.prepare()
      try migration.contract.control(["do": "variable", "cluster": "source", "name": "tidb_gc_life_time", "value": "48h0m0s"])
      try migration.undo()
      #expect(try migration.contract.variable("source", "tidb_gc_life_time") == "48h0m0s")
      #expect(migration.harness.log.contains("not what Ferry set"))
    }

    @Test("a life time that is long enough is not touched")
    func longEnough() throws {
      let migration = try Migration()
      try migration.contract.control(["do": "variable", "cluster": "source", "name": "tidb_gc_life_time", "value": "800h0m0s"])
      try migration.run()
      #expect(try migration.contract.variable("source", "tidb_gc_life_time") == "800h0m0s")
      #expect(try migration.contract.events.contains { $0.contains("tidb_gc_life_time") } == false)
    }

    @Test("a source that was read-only before is read-only after an undo")
    func readOnlyBefore() throws {
      let migration = try Migration(mode: "follow")
      try migration.harness.prepare()
      try migration.harness.pass()
      for name in Fence.variables {
        try migration.contract.control(["do": "variable", "cluster": "source", "name": .string(name), "value": "ON"])
      }
      try migration.harness.call(.source, .freeze)
      try migration.undo()
      #expect(try migration.contract.variable("source", "tidb_restricted_read_only") == "ON")
    }

    @Test("a fence that lets a write through is no fence")
    func leaks() throws {
      let migration = try Migration(mode: "follow")
      try migration.contract.control(["do": "run", "cluster": "source", "sql": ["CREATE USER replica@'%' IDENTIFIED BY 'root-source'"]])
      let other = try Harness(
        product: "tidb-br", provider: "tidb-br", folder: try TemporaryFolder(),
        from: ["host": "127.0.0.1", "port": .int(Int64(migration.contract.addresses.source.port)), "user": "replica"], to: ["host": "x"],
        keys: ["run-mode": "follow"], secrets: Migration.secrets)
      let error = failure { try other.call(.source, .freeze) }
      #expect(error?.message.contains("a write was taken") == true, "\(String(describing: error))")
      try other.call(.source, .thaw)
      #expect(try migration.contract.variable("source", "tidb_restricted_read_only") == "OFF")
    }

    @Test("after a thaw the changefeed goes on, and the run can be tried again")
    func again() throws {
      let migration = try Migration(mode: "follow")
      try migration.harness.prepare()
      try migration.harness.pass()
      try migration.harness.call(.source, .freeze)
      try migration.harness.pass(final: true)
      migration.harness.killBoth()
      try migration.harness.call(.source, .thaw)
      try migration.write(20)
      try migration.run { try migration.write(21) }
      #expect(try migration.isEqual())
      #expect(try migration.contract.events.filter { $0.contains("br backup") }.count == 1)
    }
  }
}
