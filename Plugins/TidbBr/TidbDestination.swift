import FerryPluginKit
import Glibc

/// What the destination says of itself.
struct TidbOffer: Codable {
  struct Sink: Codable {
    var host: String
    var port: Int
    var user: String
    /// Whether it is reached by TLS only.
    var tls: Bool?
    /// The files for that, where TiCDC and the source's node have them.
    var files: TLSFiles?
  }
  var cluster: TidbCluster.Identity
  var sink: Sink
  var data: String
  var compare: String
}

/// receive-state: a fresh cluster that gets everything, or one that has none of the tables that come.
struct TidbDestination {
  static let key = "restore"
  static let doneKey = "received"
  static let broughtKey = "brought"

  struct State: Codable {
    var attempt: Int
    var tool: String
    var storage: String
    var backupTS: UInt64
    var arguments: [String]
    var log: String
    /// What this run brings, and what was there before it: an undo removes the one without the other.
    var tables: [TableName]
    var databasesBefore: [String]
    var restored: Bool
  }
  struct Received: Codable {
    var backupTS: UInt64
    var accounts: [AccountCopy.Outcome]
    var parameters: [ParameterCopy.Outcome]
  }

  let context: ProviderContext
  let config: TidbConfig
  let secrets: Secrets
  let connect: () throws -> TidbCluster

  private var br: BrTool { BrTool(context: context, config: config, secrets: secrets) }
  private func state() throws -> State? { try context.kv.get(Self.key, as: State.self) }

  func prepare() throws -> Offer {
    let cluster = try connect()
    if let complaint = try occupied(cluster) { throw complaint }
    let endpoint = config.endpoint
    let offer = TidbOffer(
      cluster: try cluster.identity(),
      sink: .init(
        host: endpoint.sinkHost ?? endpoint.host, port: endpoint.sinkPort ?? endpoint.port ?? 4000, user: endpoint.user ?? "root",
        tls: endpoint.tls != nil, files: endpoint.sinkTls),
      data: config.kind.rawValue, compare: (config.compare ?? .rows).rawValue)
    context.log(.info, "backend=\(offer.cluster.backend) TiDB \(offer.cluster.version)")
    guard case .object(let keys) = try JSONValue(encoding: offer) else { throw FerryError(.internal, "the offer is no object") }
    return Offer(.inPlace, keys)
  }

  /// Why nothing may be restored there: BR would mix it with what is there. What this run itself restored is no reason.
  func occupied(_ cluster: TidbCluster) throws -> FerryError? {
    guard config.kind != .none, try state() == nil, let first = try cluster.tables(config.scope).first else { return nil }
    return FerryError(
      .conflict, "the destination is not fresh: \(first) is there already",
      hint: "use an empty cluster, or move tables that it does not have; nothing was changed")
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let wire = TidbWire(try pass.channel, context)
    let backup = try wire.backup()
    let heart = wire.beating()
    defer { heart.end() }
    if try context.kv.get(Self.doneKey, as: Received.self)?.backupTS != backup.backupTS || config.kind == .none {
      if config.kind != .none {
        try restore(backup)
        try compare(backup)
      }
      let cluster = try connect()
      let accounts = try AccountCopy.create(backup.accounts, at: cluster, kv: context.kv)
      let parameters = try ParameterCopy.copy(config.parameters ?? [], values: backup.parameters, to: cluster, kv: context.kv)
      for outcome in accounts { context.log(.info, "account \(outcome.account): \(outcome.result)") }
      for outcome in parameters { context.log(.info, "parameter \(outcome.name): \(outcome.result)") }
      if config.kind == .incremental {
        try cluster.sql.query("CREATE DATABASE IF NOT EXISTS \(SQLConnection.name(TidbCluster.follows))")
      }
      try context.kv.put(Self.doneKey, Received(backupTS: backup.backupTS, accounts: accounts, parameters: parameters))
    }
    if let present = backup.present { try context.kv.put(Self.broughtKey, present) }
    heart.end()
    try wire.send(TidbWire.Restored(tables: backup.tables.count))
    try wire.end()
    return PassReport(bytes: 0, entries: Int64(backup.tables.count))
  }

  // MARK: Restore

  private func restore(_ backup: TidbWire.Backup) throws {
    let cluster = try connect()
    var attempt = 1
    var state: State
    if let known = try self.state() {
      guard known.backupTS == backup.backupTS else {
        throw FerryError(.conflict, "the destination holds an earlier backup of this run", hint: "`ferry rollback`, then run again")
      }
      if known.restored { return }
      state = known
      attempt = known.attempt + 1
      let canResume = try known.tool == "br" && cluster.identity().version >= TidbVersion(7, 1, 0)
      if !canResume {
        try remove(known, cluster)
        state = try begin(backup, cluster, attempt)
      }
    } else {
      if let complaint = try occupied(cluster) { throw complaint }
      state = try begin(backup, cluster, attempt)
    }
    if state.tool == "br" {
      if config.accounts == .systemTables { try AccountKeep.keep(at: cluster, kv: context.kv) }
      let summary = try br.run(state.arguments, storage: state.storage, log: state.log)
      guard summary.backupTS == state.backupTS else {
        throw FerryError(.io, "restored was a backup of \(summary.backupTS), not of \(state.backupTS)")
      }
    } else {
      _ = try SQLBackup(context: context, config: config, secrets: secrets, cluster: cluster).run("RESTORE", storage: state.storage)
    }
    state.restored = true
    try context.kv.put(Self.key, state)
  }

  private func begin(_ backup: TidbWire.Backup, _ cluster: TidbCluster, _ attempt: Int) throws -> State {
    let log = "\(context.temporaryFolder)/restore-\(attempt).log"
    let tool = backup.tool == "br" && config.tool != .sql ? "br" : "sql"
    let state = State(
      attempt: attempt, tool: tool, storage: backup.storage, backupTS: backup.backupTS,
      arguments: tool == "br" ? try br.arguments("restore", storage: backup.storage, log: log) : [], log: log,
      tables: backup.tables.map(\.table), databasesBefore: try cluster.databases(), restored: false)
    try context.kv.put(Self.key, state)
    return state
  }

  /// Before anything follows: each table has as many keys as it had in the snapshot, and its indexes fit its rows. BR has been seen to end
  /// with 0 on both counts.
  private func compare(_ backup: TidbWire.Backup) throws {
    let cluster = try connect()
    var wrong: [String] = []
    for counted in backup.tables {
      try context.checkCancellation()
      context.progress(bytes: 0)
      if counted.keys >= 0 {
        let keys: Int64
        do { keys = try cluster.keyCount(counted.table) } catch let error as FerryError where error.isSQL(1146) { keys = 0 }
        if keys != counted.keys { wrong.append("\(counted.table) has \(keys) keys and had \(counted.keys)") }
      }
    }
    guard wrong.isEmpty else {
      throw FerryError(
        .io, "the restore is not what was backed up: \(wrong.prefix(5).joined(separator: "; "))",
        hint: "the source goes on serving; run again")
    }
    try checkIndexes(backup.tables.map(\.table), cluster)
  }

  func checkIndexes(_ tables: [TableName], _ cluster: TidbCluster) throws {
    for table in tables {
      try context.checkCancellation()
      context.progress(bytes: 0)
      do { try cluster.checkIndexes(table) } catch let error as FerryError where error.class == .io {
        throw FerryError(
          .io, "an index of \(table) at the destination does not fit its rows: \(error.message)",
          hint: "ADMIN CHECK TABLE \(table) tells more; run again")
      }
    }
  }

  // MARK: Undo

  private func remove(_ state: State, _ cluster: TidbCluster) throws {
    if state.tool == "sql" {
      try SQLBackup(context: context, config: config, secrets: secrets, cluster: cluster).endOthers("RESTORE", storage: state.storage)
    }
    // With those that TiCDC has brought since.
    let brought = Set(state.tables + (try context.kv.get(Self.broughtKey, as: [TableName].self) ?? [])).sorted()
    for table in brought { try cluster.sql.query("DROP TABLE IF EXISTS \(table.sql)") }
    for table in try config.kind == .incremental ? cluster.tables(config.scope) : [] {
      context.log(
        .warning, "\(table) stays at the destination: it was not at the source when the last pass looked; drop it if TiCDC has brought it")
    }
    let left = Set(try cluster.tables(.full).map(\.database))
    for database in try cluster.databases() where !state.databasesBefore.contains(database) && !left.contains(database) {
      try cluster.sql.query("DROP DATABASE IF EXISTS \(SQLConnection.name(database))")
    }
  }

  func discard() throws {
    var acts = Compensation()
    let (kv, context) = (context.kv, context)
    if let state = try state() { acts.add("remove what was restored") { try remove(state, try connect()) } }
    if try AccountKeep.isThere(kv) {
      let user = config.endpoint.user ?? "root"
      acts.add("bring the accounts back that br has overwritten") { try AccountKeep.undo(at: try connect(), kv: kv, user: user) }
    }
    if try kv.bytes(AccountCopy.key) != nil {
      acts.add("drop the accounts that were made") { try AccountCopy.undo(at: try connect(), kv: kv) }
    }
    if try kv.bytes(ParameterCopy.key) != nil { acts.add("set the parameters back") { try ParameterCopy.undo(at: try connect(), kv: kv) } }
    acts.add("remove the mark of a follower") { try letGo() }
    try acts.run { context.log(.error, $0) }
    try kv.remove(Self.key)
    try kv.remove(Self.doneKey)
    try kv.remove(Self.broughtKey)
  }

  /// After success.
  func release() throws {
    try letGo()
    if try AccountKeep.isThere(context.kv) { try AccountKeep.forget(at: try connect(), kv: context.kv) }
  }

  /// The cluster is nobody's follower any more.
  func letGo() throws {
    guard config.kind == .incremental, try state() != nil || context.kv.bytes(Self.doneKey) != nil else { return }
    try connect().sql.query("DROP DATABASE IF EXISTS \(SQLConnection.name(TidbCluster.follows))")
  }
}
