import FerryPluginKit

/// The item's keys.
struct TidbConfig: Decodable {
  struct Endpoint: Decodable {
    var host: String
    var port: Int?
    var user: String?
    var pd: String?
    var cdc: String?
    var tls: TLSFiles?
    var clusterTls: TLSFiles?
    /// As TiCDC reaches it, where that is not the same.
    var sinkHost: String?
    var sinkPort: Int?
    /// The files that those need who reach it from the source: TiCDC and sync-diff-inspector.
    var sinkTls: TLSFiles?

    enum CodingKeys: String, CodingKey {
      case host, port, user, pd, cdc, tls
      case clusterTls = "cluster-tls"
      case sinkHost = "sink-host"
      case sinkPort = "sink-port"
      case sinkTls = "sink-tls"
    }
  }
  enum Data: String, Decodable { case snapshot, incremental, none }
  enum Tool: String, Decodable { case auto, br, sql }
  enum Accounts: String, Decodable {
    case export, none
    case systemTables = "system-tables"
  }
  enum Comparison: String, Decodable { case rows, counts }
  struct Encryption: Decodable { var method: String }

  var endpoint: Endpoint
  var storage: String?
  var database: String?
  var table: String?
  var tables: [String]?
  private var data: Data?
  var tool: Tool?
  var br: String?
  var rateLimit: Int?
  var concurrency: Int?
  var checksum: Bool?
  var encryption: Encryption?
  var gcHold: String?
  var accounts: Accounts?
  var parameters: [String]?
  var compare: Comparison?
  var syncDiff: String?
  var version: String?
  var copies: Int?
  var limit: Int?
  var runMode: String?

  enum CodingKeys: String, CodingKey {
    case endpoint, storage, database, table, tables, data, tool, br, concurrency, checksum, encryption, accounts, parameters, compare,
      version, copies
    case rateLimit = "rate-limit"
    case syncDiff = "sync-diff-inspector"
    case gcHold = "gc-hold"
    case limit = "step-limit"
    case runMode = "run-mode"
  }

  /// What is moved: TiUniManager's TopologyClone, Snapshot and CDCSync.
  var kind: Data { data ?? (runMode == nil || runMode == "copy" ? .snapshot : .incremental) }
  var holdTime: String { gcHold ?? "720h" }
  /// No step waits longer than this.
  var stepLimit: Duration { .seconds(limit ?? 86_400) }
  var allowEmptyStorage: Bool { kind == .none }

  var scope: BackupScope {
    if let tables { return .filter(tables) }
    if let table, let dot = table.firstIndex(of: ".") { return .table(String(table[..<dot]), String(table[table.index(after: dot)...])) }
    if let database { return .database(database) }
    return .full
  }

  static let schema = """
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {
      "from": {"type": "object", "required": ["host"], "additionalProperties": false, "properties": {
        "host": {"type": "string", "minLength": 1, "description": "a TiDB server of the source cluster"},
        "port": {"$ref": "#/$defs/port"},
        "user": {"type": "string", "description": "root unless told; its password is the secret from-password"},
        "pd": {"type": "string", "description": "address of a PD server, for br: host:2379"},
        "cdc": {"type": "string", "pattern": "^https?://", "description": "address of a TiCDC server, for data incremental: http://host:8300"},
        "tls": {"$ref": "#/$defs/tls"},
        "cluster-tls": {"$ref": "#/$defs/tls"}}},
      "to": {"type": "object", "required": ["host"], "additionalProperties": false, "properties": {
        "host": {"type": "string", "minLength": 1, "description": "a TiDB server of the destination cluster"},
        "port": {"$ref": "#/$defs/port"},
        "user": {"type": "string", "description": "root unless told; its password is the secret to-password"},
        "pd": {"type": "string", "description": "address of a PD server, for br"},
        "tls": {"$ref": "#/$defs/tls"},
        "cluster-tls": {"$ref": "#/$defs/tls"},
        "sink-host": {"type": "string", "description": "how TiCDC reaches the destination, if not by host"},
        "sink-port": {"$ref": "#/$defs/port"},
        "sink-tls": {"$ref": "#/$defs/tls"}}},
      "storage": {"type": "string", "pattern": "^(s3|local|gcs|azure)://", "description": "where backups go; both clusters reach it"},
      "database": {"type": "string", "description": "move this database only"},
      "table": {"type": "string", "pattern": "^[^.]+[.][^.]+$", "description": "move this table only: database.table"},
      "tables": {"type": "array", "minItems": 1, "items": {"type": "string"}, "description": "TiDB table filter rules"},
      "data": {"enum": ["snapshot", "incremental", "none"], "description": "snapshot for mode copy, incremental for follow and move"},
      "tool": {"enum": ["auto", "br", "sql"], "description": "auto: br where it is installed and pd is given, else SQL"},
      "br": {"type": "string", "description": "the br program, if not br in PATH"},
      "rate-limit": {"type": "integer", "minimum": 1, "description": "MiB a second and TiKV"},
      "concurrency": {"type": "integer", "minimum": 1, "description": "br's own option"},
      "checksum": {"type": "boolean", "description": "BR compares each table's checksum; true unless told"},
      "encryption": {"type": "object", "required": ["method"], "additionalProperties": false, "properties": {
        "method": {"enum": ["aes128-ctr", "aes192-ctr", "aes256-ctr"], "description": "with the secret encryption-key, in hex; br only"}}},
      "gc-hold": {"type": "string", "pattern": "^([0-9]+[hms])+$", "description": "the source's tidb_gc_life_time meanwhile; 720h unless told"},
      "accounts": {"enum": ["export", "system-tables", "none"], "description": "export: SHOW CREATE USER and SHOW GRANTS, for accounts that the target lacks"},
      "parameters": {"type": "array", "items": {"type": "string"}, "description": "global variables to copy"},
      "compare": {"enum": ["rows", "counts"], "description": "what verify compares; rows unless told"},
      "sync-diff-inspector": {"type": "string", "pattern": "^(auto|none|/.+)$",
        "description": "the program at the source that compares once more: auto (unless told) where it is in PATH, none, or a path"},
      "version": {"type": "string", "pattern": "^v?[0-9]+[.][0-9]+[.][0-9]+", "description": "the version that the destination is to have, for check"},
      "copies": {"type": "integer", "minimum": 1, "description": "replicas that the destination needs TiKV stores for; PD's max-replicas unless told"},
      "step-limit": {"type": "integer", "minimum": 1, "description": "seconds that a step may take; a day unless told"}},
     "$defs": {
      "port": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "4000 unless told"},
      "tls": {"type": "object", "additionalProperties": false, "properties": {
        "ca": {"type": "string", "pattern": "^/", "description": "file with the certificates to trust"},
        "cert": {"type": "string", "pattern": "^/", "description": "file with the client's certificate"},
        "key": {"type": "string", "pattern": "^/", "description": "file with its key"}}}}}
    """
}

/// Which tables.
enum BackupScope: Hashable, Sendable {
  case full
  case database(String)
  case table(String, String)
  case filter([String])

  /// For TiCDC.
  var rules: [String] {
    switch self {
    case .full: ["*.*"] + TidbCluster.ownSchemas.map { "!\($0).*" }
    case .database(let name): ["\(name).*"]
    case .table(let database, let table): ["\(database).\(table)"]
    case .filter(let rules): rules
    }
  }

  /// Whether a table belongs to it.
  func takes(_ table: TableName) -> Bool {
    switch self {
    case .full: return true
    case .database(let name): return table.database == name
    case .table(let database, let name): return table.database == database && table.name == name
    case .filter(let rules):
      var taken = false
      for rule in rules {
        let negative = rule.hasPrefix("!")
        if Glob.matches(negative ? String(rule.dropFirst()) : rule, table.description) { taken = !negative }
      }
      return taken
    }
  }
}

/// `*` and `?` of TiDB's table filter.
enum Glob {
  static func matches(_ pattern: String, _ text: String) -> Bool {
    func go(_ pattern: Substring, _ text: Substring) -> Bool {
      guard let first = pattern.first else { return text.isEmpty }
      if first == "*" { return go(pattern.dropFirst(), text) || (!text.isEmpty && go(pattern, text.dropFirst())) }
      guard let letter = text.first, first == "?" || first == letter else { return false }
      return go(pattern.dropFirst(), text.dropFirst())
    }
    return go(pattern[...], text[...])
  }
}

/// A table's full name.
struct TableName: Codable, Hashable, Comparable, CustomStringConvertible, Sendable {
  var database: String
  var name: String

  var description: String { "\(database).\(name)" }
  var sql: String { "\(SQLConnection.name(database)).\(SQLConnection.name(name))" }
  static func < (left: Self, right: Self) -> Bool { (left.database, left.name) < (right.database, right.name) }
}
