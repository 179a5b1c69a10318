import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct PreconditionTests {
    @Test("21301: a destination that is older than the source, by request and in fact")
    func version() throws {
      #expect(try Migration(keys: ["version": "v7.1.0"]).errors(.source).contains { $0.contains("21301") })
      let migration = try Migration(target: ["version": "v7.1.0"])
      let error = failure { try migration.harness.prepare() }
      #expect(error?.class == .precondition && error?.message.contains("21301") == true)
      #expect(try migration.residue() == nil)
      let old = try Migration(mode: "follow", keys: ["tool": "sql"], source: ["version": "v5.2.1"])
      #expect(try old.errors(.source).contains { $0.contains("21301") && $0.contains("v5.2.2") })
    }

    @Test("21302: following without TiCDC")
    func cdc() throws {
      let migration = try Migration(mode: "follow")
      try migration.contract.defect("source", ["cdc": "absent"])
      #expect(try migration.errors(.source).contains { $0.contains("21302") })
    }

    @Test("21303: fewer TiKV stores than copies")
    func stores() throws {
      #expect(try Migration(target: ["stores": 1]).errors(.destination).contains { $0.contains("21303") })
      #expect(try Migration(keys: ["copies": 1], target: ["stores": 1]).errors(.destination) == [])
      #expect(try Migration(keys: ["copies": 5]).errors(.destination).contains { $0.contains("21303") })
    }

    @Test("21304: following a cluster that follows another")
    func slave() throws {
      let migration = try Migration(mode: "follow")
      try migration.contract.run("source", "CREATE DATABASE ferry_follows")
      #expect(try migration.errors(.source).contains { $0.contains("21304") })
      let second = try Migration(mode: "follow")
      try second.harness.prepare()
      try second.harness.pass()
      #expect(try second.contract.control(["do": "databases", "cluster": "target"]).array?.contains("ferry_follows") == true)
    }

    @Test("a destination that is not fresh is refused, and nothing is changed")
    func fresh() throws {
      let migration = try Migration()
      try migration.contract.run(
        "target", "CREATE DATABASE other", "CREATE TABLE other.t (id INT PRIMARY KEY)", "INSERT INTO other.t VALUES (7)")
      #expect(try migration.errors(.destination).contains { $0.contains("not fresh: other.t") })
      #expect(failure { try migration.harness.prepare() }?.class == .conflict)
      try migration.undo()
      #expect(try migration.contract.rows("target") == ["other.t": [["id"], ["7"]]])
      let scoped = try Migration(keys: ["database": "crm"])
      try scoped.contract.run("target", "CREATE DATABASE other", "CREATE TABLE other.t (id INT PRIMARY KEY)")
      #expect(try scoped.errors(.destination) == [])
      try scoped.run()
    }

    @Test("collation and clustered indexes must be alike")
    func settings() throws {
      let migration = try Migration()
      try migration.contract.control(["do": "system", "cluster": "target", "name": "new_collation_enabled", "value": "False"])
      #expect(failure { try migration.harness.prepare() }?.message.contains("new_collations") == true)
      let second = try Migration()
      try second.contract.control(["do": "variable", "cluster": "target", "name": "tidb_enable_clustered_index", "value": "INT_ONLY"])
      #expect(failure { try second.harness.prepare() }?.message.contains("clustered_index") == true)
    }

    @Test("source and destination must be two clusters")
    func same() throws {
      let contract = try Contract.shared()
      let migration = try Migration(
        to: ["port": .int(Int64(contract.addresses.source.port))],
        keys: ["database": "nowhere"], secrets: ["from-password": "root-source", "to-password": "root-source"])
      #expect(failure { try migration.harness.prepare() }?.message.contains("one cluster") == true)
    }

    @Test("tables that TiCDC cannot follow are named")
    func ineligible() throws {
      let migration = try Migration(mode: "follow")
      try migration.contract.run("source", "CREATE TABLE shop.loose (a INT, UNIQUE KEY (a))")
      #expect(try migration.errors(.source).contains { $0.contains("shop.loose") && !$0.contains("shop.stock") })
      #expect(try Migration(keys: ["data": "snapshot"]).errors(.source) == [])
    }

    @Test("a snapshot is refused where what is written after it would be lost")
    func lossy() throws {
      #expect(try Migration(mode: "move", keys: ["data": "snapshot"]).errors(.source).contains { $0.contains("would lose") })
    }

    @Test("a key in the storage's address is refused, and not shown")
    func keyInAddress() throws {
      let errors = try Migration(keys: ["storage": "s3://b/p?access-key=AKIAVISIBLE"]).errors(.source)
      #expect(errors.contains { $0.contains("secrets") })
      #expect(!errors.joined().contains("AKIAVISIBLE"))
    }

    @Test("a wrong password, a wrong address and a server that is no TiDB are told apart")
    func connections() throws {
      let wrong = try Migration(secrets: ["from-password": "canary-wrong"], seed: false)
      #expect(failure { try wrong.harness.prepare() }?.class == .auth)
      let nowhere = try Migration(from: ["port": 1], seed: false)
      #expect(try nowhere.errors(.source).first?.contains("127.0.0.1:1") == true)
    }
  }
}
