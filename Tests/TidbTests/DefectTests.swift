import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct DefectTests {
    @Test("a restore that ends well and is wrong is found before anything follows", arguments: ["corrupt-index", "lose-row"])
    func wrongRestore(_ defect: String) throws {
      let migration = try Migration()
      try migration.contract.defect("target", ["restore": .string(defect)])
      let error = failure { try migration.run() }
      #expect(
        error?.message.contains(defect == "lose-row" ? "keys and had" : "does not fit its rows") == true, "\(String(describing: error))")
      try migration.undo()
      #expect(try migration.residue() == nil)
      #expect(try migration.contract.rows("target") == [:])
    }

    @Test("a value that changed on the way has the same number of keys, and is found by its rows")
    func changedRow() throws {
      let migration = try Migration()
      try migration.contract.defect("target", ["restore": "change-row"])
      #expect(failure { try migration.run() }?.message.contains("not equal") == true)
      let counts = try Migration(keys: ["compare": "counts"])
      try counts.contract.defect("target", ["restore": "change-row"])
      try counts.run()
    }

    @Test("checksums differ between the clusters by their tables' ids, and that is no difference")
    func tableIdentifiers() throws {
      let migration = try Migration()
      try migration.run()
      func checksum(_ side: String) throws -> SQLRow { try migration.contract.connect(side).row("ADMIN CHECKSUM TABLE `shop`.`orders`") }
      let (left, right) = (try checksum("source"), try checksum("target"))
      #expect(try left.text("Checksum_crc64_xor") != right.text("Checksum_crc64_xor"))
      #expect(try left.text("Total_kvs") == right.text("Total_kvs"))
    }

    @Test("br fails: its own code says why, GC is given back, and the same run can be tried again")
    func backupFails() throws {
      let migration = try Migration()
      try migration.contract.defect("source", ["backup": "fail"])
      let error = failure { try migration.run() }
      #expect(error?.message.contains("BR:KV:ErrKVStorage") == true, "\(String(describing: error))")
      try migration.contract.defect("source", ["backup": .null])
      try migration.run()
      #expect(try migration.isEqual())
      #expect(try migration.residue() == nil)
    }

    @Test("`decode` that does not know the field, and ends with 0, is no moment")
    func decode() throws {
      let tool = try TemporaryFolder()
      let contract = try Contract.shared()
      let br = try tool.write("br", "#!/bin/sh\nCONTRACT_DECODE=not-found exec \(contract.addresses.br) \"$@\"\n", mode: 0o755)
      let migration = try Migration(keys: ["br": .string(br)])
      try migration.run()
      #expect(migration.harness.log.contains("decode gave no number"))
      #expect(migration.harness.log.contains("from br's summary, the cluster's clock"))
      let lies = try tool.write(
        "lies", "#!/bin/sh\nif [ \"$1\" = debug ]; then echo 12345; else exec \(contract.addresses.br) \"$@\"; fi\n", mode: 0o755)
      let doubtful = try Migration(keys: ["br": .string(lies)])
      #expect(failure { try doubtful.run() }?.message.contains("by its metadata") == true)
    }

    @Test("a br that ends with 0 and says nothing has not succeeded")
    func silent() throws {
      let tool = try TemporaryFolder()
      let br = try tool.write("br", "#!/bin/sh\n[ \"$1\" = --version ] && echo 'Release Version: v7.5.1'\nexit 0\n", mode: 0o755)
      let migration = try Migration(keys: ["br": .string(br)])
      #expect(failure { try migration.run() }?.message.contains("no summary") == true)
    }

    @Test("a changefeed that fails ends the run with TiCDC's reason")
    func feedFails() throws {
      let migration = try Migration(mode: "follow")
      try migration.harness.prepare()
      try migration.contract.defect("source", ["cdc": "failed"])
      let error = failure { try migration.harness.pass() }
      #expect(error?.message.contains("ErrSnapshotLostByGC") == true, "\(String(describing: error))")
      try migration.contract.defect("source", ["cdc": .null])
      try migration.undo()
      #expect(try migration.residue() == nil)
    }

    @Test(
      "a changefeed that lags, one that says zero and one that cannot be asked are never taken for caught up",
      arguments: ["lag", "zero", "broken-query"])
    func notCaughtUp(_ defect: String) throws {
      let migration = try Migration(mode: "follow", keys: ["step-limit": 4])
      try migration.harness.prepare()
      try migration.harness.pass()
      try migration.contract.defect("source", ["cdc": .string(defect)])
      try migration.write(10)
      try migration.harness.call(.source, .freeze)
      let error = failure { try migration.harness.pass(final: true) }
      #expect(error?.message.contains("in vain") == true, "\(String(describing: error))")
      try migration.contract.defect("source", ["cdc": .null])
      try migration.undo()
      #expect(try migration.residue() == nil)
    }

    @Test("a start before GC's safepoint and a changefeed that somebody removed are said as what they are")
    func lost() throws {
      let migration = try Migration(mode: "follow")
      let client = TicdcClient(base: migration.contract.addresses.source.cdc, tls: nil, secrets: Secrets(values: [:]))
      try migration.contract.control(["do": "advance", "cluster": "source", "seconds": 7200])
      let error = failure { try client.create("old", sink: "mysql://x:y@127.0.0.1:1/", from: 1, rules: ["*.*"]) }
      #expect(error?.code == "CDC:ErrStartTsBeforeGC" && error?.class == .precondition)
      #expect(try client.feed("nobody") == nil)
      try client.remove("nobody")
    }

    @Test("cancel ends br, and its checkpoint is taken up by the same arguments")
    func cancelBr() throws {
      let migration = try Migration(keys: ["tool": "br"])
      try migration.harness.prepare()
      try migration.contract.defect("source", ["slow": 60])
      Threads.detach {
        try? waitFor("the first table") { Files.exists(migration.folder("backups/run1-state-1/data/crm/people.json")) }
        (try? migration.harness.host(.source))?.cancel()
      }
      #expect(failure { try migration.harness.pass() }?.class == .cancelled)
      try migration.contract.defect("source", ["slow": .null])
      migration.harness.killBoth()
      try migration.run()
      #expect(try migration.isEqual())
    }

    @Test("cancel kills BACKUP and is done only when the server says so", arguments: [true, false])
    func cancelSQL(_ obeys: Bool) throws {
      let migration = try Migration(keys: ["tool": "sql"])
      try migration.harness.prepare()
      try migration.contract.defect("source", ["slow": 3, "kill": obeys ? .null : "ignored"])
      Threads.detach {
        try? waitFor("the backup") {
          try migration.contract.look("source")["running"]?.array?.contains { $0.string?.hasPrefix("BACKUP") == true } == true
        }
        (try? migration.harness.host(.source))?.cancel()
      }
      let error = failure { try migration.harness.pass() }
      if obeys {
        #expect(error?.message.contains("the server confirms") == true, "\(String(describing: error))")
        #expect(try migration.residue() == nil || migration.contract.variable("source", "tidb_gc_life_time") == "720h0m0s")
      } else {
        #expect(error?.message.contains("still runs") == true, "\(String(describing: error))")
      }
      try migration.contract.defect("source", ["slow": .null, "kill": .null])
      try migration.undo()
      #expect(try migration.residue() == nil)
    }

    @Test("each compensation is tried, though the one before it failed")
    func compensation() throws {
      let migration = try Migration(mode: "follow")
      try migration.harness.prepare()
      try migration.harness.pass()
      // A new hold, a fence and a changefeed: three things to undo, and the first cannot be.
      try migration.harness.call(.source, .freeze)
      try migration.contract.defect("source", ["refuse": ["tidb_restricted_read_only"]])
      let error = failure { try migration.harness.call(.source, .discard) }
      #expect(error?.message.contains("read-only state") == true)
      #expect(try migration.contract.look("source")["changefeeds"] == [:])
      #expect(try migration.contract.variable("source", "tidb_gc_life_time") == "10m0s")
      try migration.contract.defect("source", ["refuse": []])
      try migration.undo()
      #expect(try migration.contract.variable("source", "tidb_restricted_read_only") == "OFF")
    }

    @Test("a source that is away during the undo is an error with what is left to do, and the next try finishes it")
    func unreachable() throws {
      let migration = try Migration()
      try migration.harness.prepare()
      try migration.contract.control(["do": "set", "cluster": "source", "values": ["down": true]])
      let error = failure { try migration.harness.call(.source, .discard) }
      #expect(error?.class == .retry, "\(String(describing: error))")
      #expect(error?.message.contains("tidb_gc_life_time") == true)
      try migration.contract.control(["do": "set", "cluster": "source", "values": ["down": false]])
      try migration.undo()
      #expect(try migration.residue() == nil)
    }

    @Test("an undo removes what the run brought and nothing else")
    func undoes() throws {
      let migration = try Migration(keys: ["database": "crm"])
      try migration.contract.run("target", "CREATE DATABASE other", "CREATE TABLE other.t (id INT PRIMARY KEY)", "CREATE DATABASE crm")
      try migration.harness.prepare()
      try migration.harness.pass()
      #expect(try migration.contract.rows("target").object?.count == 2)
      try migration.undo()
      #expect(try migration.contract.rows("target").object?.keys.sorted() == ["other.t"])
      #expect(try migration.contract.control(["do": "databases", "cluster": "target"]) == ["crm", "other", "test"])
      #expect(
        try migration.contract.control(["do": "run", "cluster": "target", "sql": ["SELECT user FROM mysql.user WHERE user = 'app'"]]) == [])
    }
  }
}
