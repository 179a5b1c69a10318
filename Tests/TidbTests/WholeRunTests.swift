import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  /// The worked example, from `ferry run` to its receipt, with a tiup that only writes down what it was told.
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct WholeRunTests {
    let contract: Contract
    let migration: Migration
    let tools: TemporaryFolder

    init() throws {
      migration = try Migration(mode: "follow")
      contract = migration.contract
      tools = migration.folder
      for name in ["tiup", "mysql"] {
        try tools.write(
          "bin/\(name)",
          """
          #!/bin/sh
          cd \(tools.path) || exit 1
          echo "\(name) $*" >> told
          case "$*" in
            *display*) [ -e deployed ] ;;
            *deploy*) : > deployed ;;
            *start*) [ ! -e tiup-fails ] ;;
            *destroy*) rm deployed ;;
            *SELECT*) exit 0 ;;
            *) cat > statement ;;
          esac
          """, mode: 0o755)
      }
      try tools.write("topology.yaml", "tidb_servers: [{host: 127.0.0.1}]\n")
      try tools.write("backup-strategy", "0 3 * * * backup @cluster@\n")
      try tools.write("password", "root-target")
      try Files.makeFolder(tools("plugins"))
      symlink(contract.addresses.br, tools("bin/br"))
      try Files.replace(
        tools("plugins/tidb-br.so"), with: Files.read("\(Products.folder)/libferry-plugin-tidb-br.so", limit: 1 << 30), mode: 0o644)
    }

    private func ferry(_ arguments: [String]) throws -> Command.Outcome {
      var command = Command([Products.ferry] + arguments + ["--plugins", tools("plugins"), "--state", tools("state")])
      command.environment = [
        "PATH": "\(tools("bin")):\(Environment.all["PATH"] ?? "/usr/bin:/bin")", "FERRY_HOME": tools("home"),
        "TIDB_SOURCE_PASSWORD": "root-source", "TIDB_TARGET_PASSWORD": "root-target",
      ]
      command.timeout = .seconds(120)
      return try command.run()
    }

    private func run(_ manifest: String, _ more: [String] = []) throws -> Command.Outcome {
      let parameters = [
        "source": "127.0.0.1", "source-port": "\(contract.addresses.source.port)", "source-pd": contract.addresses.source.pd,
        "source-cdc": contract.addresses.source.cdc, "target": "127.0.0.1", "target-port": "\(contract.addresses.target.port)",
        "target-pd": contract.addresses.target.pd, "cluster": "copy", "version": "v7.5.1", "topology": tools("topology.yaml"),
        "storage": "local://\(tools("backups"))", "password": tools("password"),
      ]
      return try ferry(["run", manifest] + parameters.sorted { $0.key < $1.key }.flatMap { ["--set", "\($0.key)=\($0.value)"] } + more)
    }

    private var manifest: String { "\(Products.repository)/Manifests/tidb-clone.yaml" }
    private var told: [String] { get throws { try tools.read("told").split(separator: "\n").map(String.init) } }

    @Test("the whole clone: deployed, moved, followed, cut over, with a receipt that names its moments and its methods")
    func clone() throws {
      let over = Lock<Command.Outcome?>(nil)
      let done = Signal()
      Threads.detach { [self] in
        let outcome = try? run(manifest)
        over.withLock { $0 = outcome }
        done.raise()
      }
      func isOver() -> Bool { over.withLock { $0 != nil } }
      try waitFor("the first restore", seconds: 120) { try isOver() || contract.look("source")["changefeeds"]?.object?.isEmpty == false }
      try migration.write(10)
      var id = ""
      try waitFor("the run's id") {
        id = Files.names(in: tools("state/runs")).first ?? ""
        return isOver() || !id.isEmpty
      }
      if !isOver() { #expect(try ferry(["cutover", id]).succeeded) }
      #expect(done.wait(atMost: .seconds(120)))
      let outcome = over.withLock { $0 }
      try #require(outcome?.succeeded == true, "\(outcome?.output ?? "") \(outcome?.errors ?? "")")
      #expect(try migration.isEqual())
      #expect(try migration.residue() == nil)
      #expect(try told.filter { !$0.contains("display") }.first == "tiup cluster deploy copy v7.5.1 \(tools("topology.yaml")) --yes")
      #expect(try tools.read("statement").contains("root-target"))
      #expect(try !tools.read("told").contains("root-target"))
      #expect(try tools.read("backup-strategy.copy") == "0 3 * * * backup copy\n")
      let receipt = try JSONValue(parsing: ferry(["receipt", id, "--json"]).output)
      let evidence = receipt["items"]?.array?.first?["evidence"]
      #expect(evidence?["source"]?["backend"] == "contract")
      #expect(evidence?["source"]?["tidb"] == "v7.5.1" && evidence?["destination"]?["tidb"] == "v7.5.1")
      #expect(evidence?["source"]?["BackupTS"]?.string.flatMap { UInt64($0) } != nil)
      #expect(evidence?["source"]?["barrier"]?.string.flatMap { UInt64($0) } != nil)
      #expect(evidence?["destination"]?["methods"]?.string?.contains("ADMIN CHECK TABLE") == true)
      let state = try Command(["grep", "-rlaF", "-e", "root-source", "-e", "root-target", tools("state")]).run().output
      #expect(state == "")
    }

    @Test("the page's two other strategies are the same manifest: a snapshot, and a cluster without data", arguments: ["snapshot", "none"])
    func strategies(_ data: String) throws {
      let text = String(decoding: try Files.read(manifest), as: UTF8.self)
        .replacing("mode: follow", with: "mode: copy")
        .replacing("hooks: tidb-clone-hooks", with: "hooks: \(Products.repository)/Manifests/tidb-clone-hooks")
        .replacing("    accounts: export", with: "    data: \(data)\n    accounts: export")
      let outcome = try run(tools.write("other.yaml", text))
      try #require(outcome.succeeded, "\(outcome.output) \(outcome.errors)")
      #expect(try migration.contract.rows("target") == (data == "none" ? [:] : migration.contract.rows("source")))
      #expect(try told.contains { $0.hasPrefix("tiup cluster start copy") })
      #expect(try migration.residue() == nil)
      #expect(
        try contract.control(["do": "run", "cluster": "target", "sql": ["SELECT user FROM mysql.user WHERE user = 'app'"]]) == [["app"]])
    }

    @Test("a cluster that was deployed and never started is given back; one that ran is kept")
    func givenBack() throws {
      try tools.write("tiup-fails", "")
      #expect(try run(manifest).code != 0)
      #expect(try told.last == "tiup cluster destroy copy --yes")
      #expect(!Files.exists(tools("deployed")))
      try Files.remove(tools("tiup-fails"))
      try contract.run("target", "CREATE DATABASE shop", "CREATE TABLE shop.orders (id INT PRIMARY KEY)")
      let refused = try run(manifest)
      #expect(refused.code == 4)
      #expect((refused.output + refused.errors).contains("not fresh"))
      #expect(try told.last?.contains("destroy") == false)
      #expect(Files.exists(tools("deployed")))
      #expect(try migration.residue() == nil)
    }
  }
}
