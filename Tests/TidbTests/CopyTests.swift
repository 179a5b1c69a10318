import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct CopyTests {
    @Test("a snapshot moves all rows, and nothing of the run is left at the source", arguments: ["br", "sql"])
    func moves(_ tool: String) throws {
      let migration = try Migration(keys: ["tool": .string(tool)])
      #expect(try migration.errors(.source) == [])
      #expect(try migration.errors(.destination) == [])
      let digests = try migration.run()
      #expect(digests.source["root"] == digests.destination["root"])
      #expect(digests.source["entries"] == digests.destination["entries"])
      #expect(try migration.isEqual())
      #expect(try migration.residue() == nil)
      #expect(try migration.contract.rows("target").object?.count == 3)
    }

    @Test("what is written after the snapshot stays at the source, and the snapshot is proven all the same", arguments: ["br", "sql"])
    func snapshot(_ tool: String) throws {
      let migration = try Migration(keys: ["tool": .string(tool)])
      let before = try migration.contract.rows("source")
      try migration.run { try migration.write(10) }
      #expect(try migration.contract.rows("target") == before)
      #expect(try !migration.isEqual())
    }

    @Test("databases, tables and filters move what they name", arguments: ["database", "table", "filter"])
    func scopes(_ scope: String) throws {
      let keys: [String: JSONValue] =
        switch scope {
        case "database": ["database": "crm"]
        case "table": ["table": "shop.stock", "tool": "sql"]
        default: ["tables": ["shop.*", "!shop.orders"]]
        }
      let migration = try Migration(keys: keys)
      try migration.run()
      let expected = scope == "database" ? ["crm.people"] : ["shop.stock"]
      let rows = try migration.contract.rows("target")
      #expect(rows.object?.keys.sorted() == expected)
      #expect(try rows[expected[0]] == migration.contract.rows("source")[expected[0]])
    }

    @Test("through S3, with keys that only the environment and the statement carry", arguments: ["br", "sql"])
    func objects(_ tool: String) throws {
      let contract = try Contract.shared()
      // One bucket serves all runs of this module: each has a prefix of its own.
      let endpoint = "s3://backups/some/prefix-\(tool)?endpoint=http://127.0.0.1:\(contract.addresses.s3)&force-path-style=true"
      let migration = try Migration(keys: ["tool": .string(tool), "storage": .string(endpoint), "rate-limit": 64, "concurrency": 4])
      try migration.run()
      #expect(try migration.isEqual())
    }

    @Test("both layouts of RESTORE's answer are read by name")
    func layouts() throws {
      for layout in ["old", "new"] {
        let migration = try Migration(keys: ["tool": "sql"], source: ["layout": .string(layout)], target: ["layout": .string(layout)])
        try migration.run()
        #expect(try migration.isEqual())
      }
    }

    @Test("each account is created with its password and grants, or it is said why not")
    func accounts() throws {
      let migration = try Migration()
      try migration.run()
      #expect(migration.harness.log.contains("account app@%: copied"))
      #expect(migration.harness.log.contains("account root@%: skipped: the destination has it"))
      let address = SQLAddress(host: "127.0.0.1", port: migration.contract.addresses.target.port, user: "app", password: "app-canary")
      #expect(try SQLConnection(address, secrets: Secrets(values: [:])).query("SELECT id FROM shop.orders").count == 3)
    }

    @Test("restoring the system tables brings the source's passwords, and Ferry goes on with them")
    func systemTables() throws {
      let migration = try Migration(keys: ["accounts": "system-tables", "tool": "br"])
      try migration.run()
      #expect(try migration.isEqual())
      #expect(failure { _ = try migration.contract.connect("target") }?.class == .auth)
      #expect(try migration.contract.control(["do": "databases", "cluster": "target"]) == ["crm", "shop", "test"])
      _ = try migration.contract.connect("target", password: "root-source")
    }

    @Test("an undo brings back the accounts that br has overwritten: passwords, grants, and who was there", arguments: [true, false])
    func accountsBack(_ isWhole: Bool) throws {
      let migration = try Migration(keys: ["accounts": "system-tables", "tool": "br"])
      try migration.contract.run(
        "target", "CREATE DATABASE own", "CREATE USER 'keeper'@'%' IDENTIFIED BY 'keep-canary'",
        "GRANT SELECT ON `own`.* TO 'keeper'@'%'")
      // br overwrites them last of all: a failure before has done nothing yet.
      if !isWhole { try migration.contract.defect("target", ["restore": "fail"]) }
      try migration.harness.prepare()
      let error = failure { try migration.harness.pass() }
      #expect((error == nil) == isWhole)
      let keeper = SQLAddress(host: "127.0.0.1", port: migration.contract.addresses.target.port, user: "keeper", password: "keep-canary")
      func enter() throws -> [SQLRow] { try SQLConnection(keeper, secrets: Secrets(values: [:])).query("SELECT 1 AS one") }
      if isWhole { #expect(failure { _ = try enter() }?.class == .auth) }
      try migration.contract.defect("target", ["restore": .null])
      let kept = try Command(["grep", "-rlaE", "keep-canary|[*][0-9A-F]{40}", migration.folder("host-destination")]).run().output
      #expect(kept == "")
      try migration.undo()
      _ = try migration.contract.connect("target")
      #expect(try enter().count == 1)
      let grants: JSONValue = ["do": "run", "cluster": "target", "sql": ["SHOW GRANTS FOR 'keeper'@'%'"]]
      #expect(try migration.contract.control(grants).text.contains("GRANT SELECT ON `own`"))
      #expect(try !migration.contract.control(grants).text.contains("ALL PRIVILEGES"))
      let users: JSONValue = ["do": "run", "cluster": "target", "sql": ["SELECT user FROM mysql.user WHERE host = '%' ORDER BY user"]]
      #expect(try migration.contract.control(users) == [["keeper"], ["root"]])
      #expect(try migration.contract.control(["do": "databases", "cluster": "target"]) == ["own", "test"])
    }

    @Test("each parameter is copied, skipped or failed, and reported; an undo sets them back")
    func parameters() throws {
      let names: JSONValue = [
        "tidb_mem_quota_query", "tidb_txn_mode", "tidb_read_only_one", "no_such_variable", "tidb_gc_life_time",
        "tidb_build_stats_concurrency",
      ]
      let migration = try Migration(keys: ["parameters": names])
      for (name, value) in [("tidb_mem_quota_query", "4096"), ("tidb_build_stats_concurrency", "8"), ("tidb_read_only_one", "other")] {
        try migration.contract.control(["do": "variable", "cluster": "source", "name": .string(name), "value": .string(value)])
      }
      try migration.contract.defect("target", ["refuse": ["tidb_build_stats_concurrency"]])
      try migration.harness.prepare()
      try migration.harness.pass()
      let log = migration.harness.log
      #expect(log.contains("parameter tidb_mem_quota_query: copied"))
      #expect(log.contains("parameter tidb_txn_mode: copied: it was equal"))
      #expect(log.contains("parameter tidb_read_only_one: failed"))
      #expect(log.contains("parameter tidb_build_stats_concurrency: failed"))
      #expect(log.contains("parameter no_such_variable: skipped: the source has none"))
      #expect(log.contains("parameter tidb_gc_life_time: skipped"))
      #expect(try migration.contract.variable("target", "tidb_mem_quota_query") == "4096")
      try migration.undo()
      #expect(try migration.contract.variable("target", "tidb_mem_quota_query") == "1073741824")
    }

    @Test("topology only: no rows, but accounts and parameters")
    func nothing() throws {
      let migration = try Migration(keys: ["data": "none", "parameters": ["tidb_txn_mode"]])
      try migration.contract.control(["do": "variable", "cluster": "source", "name": "tidb_txn_mode", "value": "optimistic"])
      let digests = try migration.run()
      #expect(digests.source["entries"] == 2)
      #expect(try migration.contract.rows("target") == [:])
      #expect(try migration.contract.variable("target", "tidb_txn_mode") == "optimistic")
      #expect(try migration.contract.events.contains { $0.contains("BACKUP") || $0.contains("br ") || $0.contains("gc_life") } == false)
    }

    @Test("an encrypted backup is restored with its key")
    func encrypted() throws {
      var secrets = Migration.secrets
      secrets["encryption-key"] = "0123456789abcdef0123456789abcdef"
      let migration = try Migration(keys: ["encryption": ["method": "aes128-ctr"], "tool": "br"], secrets: secrets)
      try migration.run()
      #expect(try migration.isEqual())
    }

    @Test("the connection is encrypted, and both ends prove who they are")
    func tls() throws {
      let contract = try Contract.shared()
      func endpoint(_ cluster: Contract.Addresses.Cluster, _ files: [String]) -> [String: JSONValue] {
        var tls: JSONValue = [:]
        for file in files { tls[file == "tls/ca.pem" ? "ca" : file.hasSuffix("key") ? "key" : "cert"] = .string(contract.file(file)) }
        return ["port": .int(Int64(cluster.tls)), "tls": tls]
      }
      let own = ["tls/ca.pem", "tls/client.pem", "tls/client.key"]
      let (left, right) = (contract.addresses.source, contract.addresses.target)
      let migration = try Migration(from: endpoint(left, own), to: endpoint(right, own))
      try migration.run()
      #expect(try migration.isEqual())
      let stranger = try Migration(from: endpoint(left, ["tls/ca.pem"]), to: endpoint(right, own), seed: false)
      #expect(try stranger.errors(.source).count == 1)
      let plain = try Migration(from: ["port": .int(Int64(left.port)), "tls": ["ca": .string(contract.file("tls/ca.pem"))]], seed: false)
      #expect(try plain.errors(.source).count == 1)
    }
  }
}
