import FerryPluginKit
import Glibc

/// One cluster through one pinned session: what Ferry asks TiDB, each question once.
final class TidbCluster {
  let sql: SQLConnection
  private let address: SQLAddress
  private let secrets: Secrets

  /// Schemas that are no state: TiDB's, TiCDC's and Ferry's own.
  static let systemSchemas = ["mysql", "information_schema", "performance_schema", "metrics_schema", "sys"]
  static let ownSchemas = ["tidb_cdc", follows, AccountKeep.database]
  /// While a cluster is kept in step with another it has a database of this name.
  static let follows = "ferry_follows"

  init(_ address: SQLAddress, secrets: Secrets) throws {
    self.address = address
    self.secrets = secrets
    sql = try SQLConnection(address, secrets: secrets)
    // Texts of times, and what a value looks like, must not depend on the server's settings.
    try sql.query("SET SESSION time_zone = '+00:00'")
  }

  /// A session of its own, for a statement that takes as long as it takes.
  func another(patience: Duration) throws -> SQLConnection {
    var address = address
    address.patience = patience
    return try SQLConnection(address, secrets: secrets)
  }

  // MARK: What it is

  struct Identity: Codable, Hashable {
    var version: TidbVersion
    /// "contract" for the tests' stand-in, which says so itself; "real" for everything else.
    var backend: String
    var collation: String
    var clusteredIndex: String
    var stores: Int
    /// Which TiDB server collects garbage: two clusters share none. Addresses would not tell: machines may use the same ones.
    var leader: String
  }

  func identity() throws -> Identity {
    let text = try sql.row("SELECT tidb_version() AS version").text("version")
    guard let version = TidbVersion(in: text, after: "Release Version:") else {
      throw FerryError(
        .precondition, "the server at \(address.host):\(address.port) does not say which TiDB it is: \(text.prefix(80))",
        hint: "`host` and `port` must be a TiDB server's")
    }
    let parts = try sql.query("SELECT TYPE AS type FROM information_schema.cluster_info")
    let types = try parts.map { try $0.text("type").lowercased() }
    let system = try systemTable()
    return Identity(
      version: version, backend: text.contains("tidb-contract") ? "contract" : "real", collation: system["new_collation_enabled"] ?? "",
      clusteredIndex: try variables()["tidb_enable_clustered_index"] ?? "", stores: types.filter { $0 == "tikv" }.count,
      leader: system["tikv_gc_leader_uuid"] ?? "")
  }

  private func systemTable() throws -> [String: String] {
    let rows = try sql.query("SELECT VARIABLE_NAME AS name, VARIABLE_VALUE AS value FROM mysql.tidb")
    return try Dictionary(rows.map { (try $0.text("name"), $0.optional("value") ?? "") }) { first, _ in first }
  }

  /// How many replicas PD keeps, nil where this user may not know.
  func copies() throws -> Int? {
    do {
      return try sql.query("SHOW CONFIG WHERE type = 'pd' AND name = 'replication.max-replicas'").first.flatMap {
        Int(try $0.text("Value"))
      }
    } catch let error as FerryError where error.class != .retry { return nil }
  }

  // MARK: Variables

  func variables() throws -> [String: String] {
    let rows = try sql.query("SHOW GLOBAL VARIABLES")
    return try Dictionary(rows.map { (try $0.text("Variable_name"), $0.optional("Value") ?? "") }) { first, _ in first }
  }

  func variable(_ name: String) throws -> String {
    guard let value = try variables()[name] else {
      throw FerryError(.unsupported, "\(address.host):\(address.port) has no variable '\(name)'", hint: "is it TiDB, and recent enough?")
    }
    return value
  }

  func set(_ name: String, _ value: String) throws {
    guard name.utf8.allSatisfy({ $0 == 95 || (48...57).contains($0) || (97...122).contains($0) }) else {
      throw FerryError(.invalid, "'\(name)' is no variable's name")
    }
    try sql.query("SET GLOBAL \(name) = \(SQLConnection.quote(value))")
  }

  // MARK: Time

  /// The newest moment, from PD.
  func now() throws -> UInt64 {
    try sql.query("BEGIN")
    let row = try sql.row("SELECT TIDB_CURRENT_TSO() AS tso")
    try sql.query("ROLLBACK")
    guard let tso = UInt64(try row.text("tso")), tso > 0 else { throw FerryError(.io, "TIDB_CURRENT_TSO() gave no moment") }
    return tso
  }

  /// Reads as of a moment, or of now.
  func read(at tso: UInt64?) throws { try sql.query("SET SESSION tidb_snapshot = '\(tso.map(String.init) ?? "")'") }

  // MARK: Tables

  /// The tables of a scope, sorted.
  func tables(_ scope: BackupScope) throws -> [TableName] {
    let rows = try sql.query(
      "SELECT table_schema AS db, table_name AS name FROM information_schema.tables WHERE table_type = 'BASE TABLE'")
    return try rows.map { TableName(database: try $0.text("db"), name: try $0.text("name")) }
      .filter { Self.isState($0.database) && scope.takes($0) }.sorted()
  }

  func databases() throws -> [String] {
    try sql.query("SELECT schema_name AS db FROM information_schema.schemata").map { try $0.text("db") }.filter(Self.isState).sorted()
  }

  func hasDatabase(_ name: String) throws -> Bool {
    try !sql.query("SELECT schema_name AS db FROM information_schema.schemata WHERE schema_name = \(SQLConnection.quote(name))").isEmpty
  }

  private static func isState(_ database: String) -> Bool {
    let name = database.lowercased()
    return !systemSchemas.contains(name) && !ownSchemas.contains(name)
  }

  func size(_ scope: BackupScope) throws -> Int64 {
    let rows = try sql.query(
      "SELECT table_schema AS db, table_name AS name, data_length AS data, index_length AS indexes FROM information_schema.tables "
        + "WHERE table_type = 'BASE TABLE'")
    return try rows.filter {
      let table = TableName(database: try $0.text("db"), name: try $0.text("name"))
      return Self.isState(table.database) && scope.takes(table)
    }.reduce(0) { $0 + (Int64($1.optional("data") ?? "") ?? 0) + (Int64($1.optional("indexes") ?? "") ?? 0) }
  }

  /// Tables that TiCDC cannot carry: without a unique index whose columns are all NOT NULL.
  func ineligible(_ tables: [TableName]) throws -> [TableName] {
    let rows = try sql.query(
      "SELECT table_schema AS db, table_name AS name FROM information_schema.statistics WHERE non_unique = 0 "
        + "GROUP BY table_schema, table_name, index_name HAVING SUM(nullable = 'YES') = 0")
    let good = Set(try rows.map { TableName(database: try $0.text("db"), name: try $0.text("name")) })
    return tables.filter { !good.contains($0) }
  }

  /// The number of a table's keys, rows and index entries alike. The checksum beside it holds the table's id, so two clusters never agree on it.
  func keyCount(_ table: TableName) throws -> Int64 { try sql.row("ADMIN CHECKSUM TABLE \(table.sql)").number("Total_kvs") }

  /// Throws if the table's indexes do not fit its rows.
  func checkIndexes(_ table: TableName) throws { try sql.query("ADMIN CHECK TABLE \(table.sql)") }

  func columns(_ table: TableName) throws -> [String] {
    let rows = try sql.query(
      "SELECT column_name AS name FROM information_schema.columns WHERE table_schema = \(SQLConnection.quote(table.database)) AND table_name = "
        + "\(SQLConnection.quote(table.name)) ORDER BY ordinal_position")
    return try rows.map { try $0.text("name") }
  }

  /// The statements that run now and begin with a word, with their sessions' numbers.
  func running(_ verb: String, _ mark: String) throws -> [Int64] {
    try sql.query("SHOW FULL PROCESSLIST").filter {
      let text = $0.optional("Info") ?? ""
      return text.uppercased().hasPrefix(verb) && text.contains(mark)
    }.map { try $0.number("Id") }
  }
}
