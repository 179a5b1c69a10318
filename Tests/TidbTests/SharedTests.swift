import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

/// Two clusters by their addresses: real ones if the environment names them, else the contract's.
struct Clusters {
  struct End {
    var address: SQLAddress
    var pd: String?
  }
  var source: End
  var target: End
  var br: String
  var cdc: String
  var storage: String

  /// Whether `make test-tidb` was given real clusters.
  static let areReal = Environment.all["FERRY_TIDB_SOURCE"] != nil

  init(_ folder: TemporaryFolder) throws {
    guard Self.areReal else {
      let contract = try Contract.shared()
      try contract.reset()
      func end(_ side: String) -> End {
        End(
          address: SQLAddress(host: "127.0.0.1", port: contract.cluster(side).port, user: "root", password: "root-\(side)"),
          pd: contract.cluster(side).pd)
      }
      (source, target) = (end("source"), end("target"))
      (br, cdc, storage) = (contract.addresses.br, contract.addresses.source.cdc, "local://\(folder("backups"))")
      return
    }
    func named(_ name: String) throws -> String {
      guard let value = Environment.all[name] else {
        throw FerryError(.invalid, "\(name) is not set", hint: "see Plugins/TidbBr/README.md")
      }
      return value
    }
    source = try End(parsing: named("FERRY_TIDB_SOURCE"))
    target = try End(parsing: named("FERRY_TIDB_TARGET"))
    (br, cdc, storage) = (
      try named("FERRY_BR"), try named("FERRY_CDC"), "\(try named("FERRY_TIDB_STORAGE"))/\(getpid())-\(folder.path.suffix(6))"
    )
  }
}

extension Clusters.End {
  /// user:password@host:port?pd=host:port
  init(parsing text: String) throws {
    let halves = text.split(separator: "?pd=", maxSplits: 1).map(String.init)
    guard let at = halves[0].lastIndex(of: "@") else { throw FerryError(.invalid, "not user:password@host:port: \(text.suffix(20))") }
    let login = halves[0][..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let place = halves[0][halves[0].index(after: at)...].split(separator: ":").map(String.init)
    address = SQLAddress(
      host: place[0], port: place.count > 1 ? Int(place[1]) ?? 4000 : 4000, user: login[0], password: login.count > 1 ? login[1] : "")
    pd = halves.count > 1 ? halves[1] : nil
  }
}

extension Tidb {
  /// What holds on the contract and on real clusters alike. Everything is asked in SQL.
  @Suite struct SharedTests {
    let folder: TemporaryFolder
    let clusters: Clusters

    init() throws {
      folder = try TemporaryFolder()
      clusters = try Clusters(folder)
      for end in [clusters.source, clusters.target] {
        let sql = try SQLConnection(end.address, secrets: Secrets(values: [:]))
        for database in ["ferry_shop", "ferry_crm"] { try sql.query("DROP DATABASE IF EXISTS \(database)") }
      }
      let sql = try SQLConnection(clusters.source.address, secrets: Secrets(values: [:]))
      for statement in [
        "CREATE DATABASE ferry_shop", "CREATE DATABASE ferry_crm",
        "CREATE TABLE ferry_shop.orders (id BIGINT PRIMARY KEY, item VARCHAR(40), price DECIMAL(12,4), at DATETIME(6), KEY by_item (item))",
        "CREATE TABLE ferry_crm.people (code VARCHAR(20) NOT NULL, note VARBINARY(200), UNIQUE KEY (code))",
        "INSERT INTO ferry_crm.people VALUES ('a', x'00ff'), ('b', NULL), ('', 'empty')",
      ] { try sql.query(statement) }
      let rows = (1...500).map { "(\($0), 'item \($0 % 17)', \($0).25, '2026-01-02 03:04:05.\(100_000 + $0)')" }.joined(separator: ",")
      try sql.query("INSERT INTO ferry_shop.orders VALUES \(rows)")
    }

    private func harness(_ keys: [String: JSONValue], in part: String) throws -> Harness {
      func endpoint(_ end: Clusters.End, _ more: [String: JSONValue] = [:]) -> JSONValue {
        var members: [String: JSONValue] = [
          "host": .string(end.address.host), "port": .int(Int64(end.address.port)), "user": .string(end.address.user),
        ]
        if let pd = end.pd { members["pd"] = .string(pd) }
        return .object(members.merging(more) { $1 })
      }
      return try Harness(
        product: "tidb-br", provider: "tidb-br", folder: folder, from: endpoint(clusters.source, ["cdc": .string(clusters.cdc)]),
        to: endpoint(clusters.target),
        keys: [
          "storage": .string("\(clusters.storage)/\(part)"), "br": .string(clusters.br), "tables": ["ferry_shop.*", "ferry_crm.*"],
          "accounts": "none",
        ].merging(keys) { $1 },
        secrets: ["from-password": clusters.source.address.password, "to-password": clusters.target.address.password])
    }

    /// All rows by plain SELECTs, beside what the provider itself compares.
    private func rows(_ end: Clusters.End) throws -> [String] {
      let sql = try SQLConnection(end.address, secrets: Secrets(values: [:]))
      return try ["ferry_shop.orders ORDER BY id", "ferry_crm.people ORDER BY code"].flatMap { table in
        try sql.query("SELECT * FROM \(table)").map { row in "\(row.values.sorted { $0.key < $1.key })" }
      }
    }

    private func write(_ number: Int) throws {
      let sql = try SQLConnection(clusters.source.address, secrets: Secrets(values: [:]))
      try sql.query("INSERT INTO ferry_shop.orders (id, item) VALUES (\(number), 'late')")
      try sql.query("UPDATE ferry_shop.orders SET item = 'late \(number)' WHERE id = 3")
      try sql.query("DELETE FROM ferry_crm.people WHERE code = 'b'")
    }

    private func notices(_ harness: Harness) throws -> [String] {
      try Side.allCases.flatMap { try harness.call($0, .check)["notices"]?.array?.filter { $0["severity"] == "error" }.map(\.text) ?? [] }
    }

    @Test("a snapshot moves all rows, is proven, and an undo takes back what it brought")
    func snapshot() throws {
      let harness = try harness(["run-mode": "copy"], in: "snapshot")
      #expect(try notices(harness) == [])
      let before = try rows(clusters.source)
      try harness.prepare()
      try harness.pass()
      try write(1001)
      try harness.pass(final: true)
      let (left, right) = (try harness.digest(.source), try harness.digest(.destination))
      #expect(left["root"] == right["root"])
      #expect(try rows(clusters.target) == before)
      print("backend=\(try harness.call(.source, .check)["versions"]?["backend"]?.string ?? "?") entries=\(left["entries"]?.int ?? 0)")
      harness.killBoth()
      for side in Side.allCases { try harness.call(side, .discard) }
      let sql = try SQLConnection(clusters.target.address, secrets: Secrets(values: [:]))
      #expect(try sql.query("SELECT 1 FROM information_schema.schemata WHERE schema_name IN ('ferry_shop', 'ferry_crm')").isEmpty)
    }

    @Test("what is written meanwhile arrives up to the barrier, and the source takes no writes after it")
    func follow() throws {
      let harness = try harness(["run-mode": "follow"], in: "follow")
      #expect(try notices(harness) == [])
      defer { for side in Side.allCases { _ = try? harness.call(side, side == .source ? .thaw : .release) } }
      try harness.prepare()
      try harness.pass()
      try write(1002)
      try harness.pass()
      try write(1003)
      try harness.call(.source, .freeze)
      #expect(failure { try write(1004) }?.isSQL(1836) == true)
      try harness.pass(final: true)
      #expect(try harness.digest(.source)["root"] == harness.digest(.destination)["root"])
      #expect(try rows(clusters.source) == rows(clusters.target))
      try harness.call(.destination, .activate)
      for side in Side.allCases { try harness.call(side, .release) }
      try harness.call(.source, .thaw)
      try write(1005)
      #expect(try rows(clusters.source) != rows(clusters.target))
    }
  }
}
