import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  /// Which tool moves the data, what it is told, and what is heard of it.
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct ToolTests {
    @Test("br is taken where it can be run and a PD server is named, else SQL")
    func chosen() throws {
      func tool(_ from: [String: JSONValue], _ keys: [String: JSONValue]) throws -> JSONValue? {
        let migration = try Migration(from: from, keys: keys)
        let evidence = try migration.run().source["evidence"]
        #expect(try migration.isEqual())
        return evidence?["tool"]
      }
      #expect(try tool([:], [:]) == "br")
      #expect(try tool(["pd": .null], [:]) == "sql")
      #expect(try tool([:], ["br": "/nowhere/br"]) == "sql")
    }

    @Test("rates, concurrency, checksums and encryption reach br as they were said, and its arguments are the same when it is run again")
    func arguments() throws {
      let contract = try Contract.shared()
      let tools = try TemporaryFolder()
      let br = try tools.write("br", "#!/bin/sh\necho \"$*\" >> \(tools("told"))\nexec \(contract.addresses.br) \"$@\"\n", mode: 0o755)
      let keys: [String: JSONValue] = [
        "tool": "br", "br": .string(br), "rate-limit": 64, "concurrency": 3, "checksum": false, "encryption": ["method": "aes128-ctr"],
        "table": "shop.stock",
      ]
      let secrets = Migration.secrets.merging(["encryption-key": "0123456789abcdef0123456789abcdef"]) { $1 }
      let migration = try Migration(keys: keys, secrets: secrets)
      try migration.harness.prepare()
      try migration.contract.defect("source", ["slow": 60])
      Threads.detach {
        try? waitFor("the first table") { Files.exists(migration.folder("backups/run1-state-1/data/shop/stock.json")) }
        (try? migration.harness.host(.source))?.cancel()
      }
      #expect(failure { try migration.harness.pass() }?.class == .cancelled)
      try migration.contract.defect("source", ["slow": .null])
      migration.harness.killBoth()
      try migration.run()
      #expect(try migration.contract.rows("target").object?.keys.sorted() == ["shop.stock"])
      let told = try tools.read("told").split(separator: "\n").filter { $0.hasPrefix("backup") || $0.hasPrefix("restore") }
      #expect(told.count == 3 && told[0] == told[1], "\(told)")
      for words in [
        "table --db shop --table stock", "--ratelimit 64", "--concurrency 3", "--checksum=false", "--crypter.method aes128-ctr",
        "--crypter.key-file",
      ] {
        #expect(told.allSatisfy { $0.contains(words) }, "\(words) in \(told)")
      }
      #expect(told[0].contains("--gcttl 86400") && told[2].contains("--with-sys-table=false"))
      #expect(!told.joined().contains("0123456789abcdef"))
    }

    @Test("SQL's statements have the rate and the checksum, and the statement is BACKUP of what the scope says")
    func statements() throws {
      let migration = try Migration(keys: ["tool": "sql", "rate-limit": 64, "checksum": false, "database": "crm"])
      try migration.contract.control(["do": "pause", "event": 0, "when": "never"])
      try migration.run()
      let told = try migration.contract.events.filter { $0.contains("BACKUP ") || $0.contains("RESTORE ") }
      #expect(told.count == 2, "\(told)")
      #expect(told.allSatisfy { $0.contains("DATABASE `crm`") && $0.hasSuffix("RATE_LIMIT = 64 MB/SECOND CHECKSUM = FALSE") }, "\(told)")
    }

    @Test("both ends give word while a backup takes its time: neither is taken for one that hangs", arguments: ["br", "sql"])
    func heard(_ tool: String) throws {
      let migration = try Migration(keys: ["tool": .string(tool)])
      try migration.harness.prepare()
      try migration.contract.defect("source", ["slow": 60])
      let before = Side.allCases.map { migration.harness.reports($0) }
      let over = Lock<FerryError?>(nil)
      let done = Signal()
      Threads.detach {
        let error = failure { try migration.harness.pass() }
        over.withLock { $0 = error }
        done.raise()
      }
      // It does not come to its end: two reports are no end either.
      try waitFor("two reports of each end") { zip(Side.allCases, before).allSatisfy { migration.harness.reports($0) >= $1 + 2 } }
      try migration.harness.host(.source).cancel()
      #expect(done.wait(atMost: .seconds(60)))
      #expect(over.withLock { $0 }?.class == .cancelled, "\(String(describing: over.withLock { $0 }))")
      try migration.contract.defect("source", ["slow": .null])
      try migration.undo()
      #expect(try migration.residue() == nil)
    }
  }
}
