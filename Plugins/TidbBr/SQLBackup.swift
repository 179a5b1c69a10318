import FerryPluginKit
import Glibc

/// BACKUP and RESTORE as statements, for where there is no br program.
struct SQLBackup {
  let context: ProviderContext
  let config: TidbConfig
  let secrets: Secrets
  let cluster: TidbCluster

  func statement(_ verb: String, _ storage: String) throws -> String {
    let what: String
    switch config.scope {
    case .full: what = "DATABASE *"
    case .database(let name): what = "DATABASE \(SQLConnection.name(name))"
    case .table(let database, let table): what = "TABLE \(TableName(database: database, name: table).sql)"
    case .filter: throw FerryError(.unsupported, "SQL's \(verb) knows no table filter", hint: "install br, or move a database or a table")
    }
    guard config.encryption == nil else {
      throw FerryError(.unsupported, "encryption needs the br program", hint: "install br, and give `pd`")
    }
    guard config.accounts != .systemTables else { throw FerryError(.unsupported, "accounts: system-tables needs the br program") }
    var text = "\(verb) \(what) \(verb == "BACKUP" ? "TO" : "FROM") \(SQLConnection.quote(BackupStorage.withKeys(storage, secrets)))"
    if let rate = config.rateLimit { text += " RATE_LIMIT = \(rate) MB/SECOND" }
    return text + " CHECKSUM = \(config.checksum ?? true ? "TRUE" : "FALSE")"
  }

  /// Runs it to its end on a session of its own. A cancel kills the query and is done only when it has ended.
  func run(_ verb: String, storage: String) throws -> BrTool.Summary {
    let session = try cluster.another(patience: config.stepLimit)
    let number = try session.identifier()
    let statement = try statement(verb, storage)
    let result = Lock<Result<[SQLRow], any Error>?>(nil)
    Threads.detach {
      let outcome = Result { try session.query(statement) }
      result.withLock { $0 = outcome }
    }
    let deadline = ContinuousClock.now + config.stepLimit
    let cancelled = context.cancellation
    var beats: Int64 = 0
    var nextLook = ContinuousClock.now
    while true {
      if let outcome = result.withLock({ $0 }) {
        guard let row = try outcome.get().first else { throw FerryError(.unsupported, "\(verb) answered no row") }
        // RESTORE's BackupTS is the backup's own and no moment to follow from; newer versions put "Cluster TS" beside it.
        return BrTool.Summary(backupTS: UInt64(try row.text("BackupTS")) ?? 0, size: Int64(try row.text("Size")) ?? 0)
      }
      if cancelled.isCancelled {
        try kill(number) { result.withLock { $0 != nil } }
        throw FerryError(.cancelled, "\(verb) was cancelled, and the server confirms that it has ended")
      }
      guard ContinuousClock.now < deadline else {
        try kill(number) { result.withLock { $0 != nil } }
        throw FerryError(.retry, "\(verb) did not end within step-limit and was ended")
      }
      if ContinuousClock.now >= nextLook {
        nextLook = .now + .seconds(2)
        beats += 1
        // SHOW BACKUPS tells of this TiDB server only, which is the one that we speak with.
        let shown = try? cluster.sql.query("SHOW \(verb)S").last {
          $0.optional("Destination")?.hasPrefix(BackupStorage.place(storage)) == true
        }
        let share = (shown?.optional("Progress")).flatMap { Double($0) } ?? 0
        context.progress(bytes: Int64(share * 100), entries: beats)
      }
      usleep(50_000)
    }
  }

  /// What a killed process of Ferry's has left running is ended too.
  func endOthers(_ verb: String, storage: String) throws {
    let place = BackupStorage.place(storage)
    for number in try cluster.running(verb, place) {
      try kill(number) { try cluster.running(verb, place).isEmpty }
    }
  }

  private func kill(_ number: Int64, _ isOver: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + .seconds(7)
    try cluster.sql.query("KILL TIDB QUERY \(number)")
    while try !isOver() {
      guard ContinuousClock.now < deadline else {
        throw FerryError(
          .io, "KILL TIDB QUERY \(number) was taken, but the statement still runs",
          hint: "look at SHOW PROCESSLIST and SHOW BACKUPS on that TiDB server")
      }
      usleep(50_000)
    }
  }
}
