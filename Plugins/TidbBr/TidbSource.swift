import FerryPluginKit
import Glibc

/// transfer-state: the snapshot, and what changes after it.
struct TidbSource {
  static let key = "backup"

  struct State: Codable {
    var attempt: Int
    var tool: String
    var storage: String
    /// Of br. A resume gives the very same.
    var arguments: [String]
    var log: String
    /// The snapshot cannot be older.
    var notBefore: UInt64
    var done: Done?
  }
  struct Done: Codable {
    var backupTS: UInt64
    var size: Int64
    /// What says so.
    var sources: [String]
    var tables: [TidbWire.Counted]
  }

  let context: ProviderContext
  let config: TidbConfig
  let secrets: Secrets
  let connect: () throws -> TidbCluster
  let cdc: () throws -> TicdcClient

  private var br: BrTool { BrTool(context: context, config: config, secrets: secrets) }
  private func feed() throws -> Changefeed {
    Changefeed(context: context, client: try cdc(), bounded: Bounded(context: context, limit: config.stepLimit))
  }

  /// From now on nothing that the snapshot needs is collected. A changefeed that runs protects its own.
  func hold(_ cluster: TidbCluster) throws {
    if config.kind == .none { return }
    if config.kind == .incremental, try context.kv.get(Changefeed.key, as: Changefeed.Record.self) != nil,
      try feed().look() != nil
    {
      return
    }
    try GCHold(cluster: cluster, kv: context.kv, wanted: config.holdTime) { context.log(.warning, $0) }.hold()
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    let wire = TidbWire(try pass.channel, context)
    let cluster = try connect()
    var report = PassReport(bytes: 0, entries: 0, changed: 0)
    let heart = wire.beating()
    defer { heart.end() }
    var message = TidbWire.Backup(storage: "", tool: "", backupTS: 0, tables: [], accounts: [], parameters: [:])
    if config.kind != .none {
      try hold(cluster)
      let isNew = try state()?.done == nil
      let (state, done) = try backup(cluster)
      if isNew { report.bytes = done.size }
      report.entries = Int64(done.tables.count)
      report.changed = isNew ? report.entries : 0
      message.storage = state.storage
      message.tool = state.tool
      message.backupTS = done.backupTS
      message.tables = done.tables
    }
    if config.kind == .incremental { message.present = try cluster.tables(config.scope) }
    if config.accounts ?? .export == .export { message.accounts = try AccountCopy.export(cluster) }
    message.parameters = try ParameterCopy.read(config.parameters ?? [], from: cluster)
    try wire.send(message)
    _ = try wire.restored()
    if config.kind == .incremental { try follow(cluster, message.backupTS, pass) }
    heart.end()
    try wire.sendEnd()
    return report
  }

  /// Changes from the snapshot on; the final pass ends at the barrier.
  private func follow(_ cluster: TidbCluster, _ start: UInt64, _ pass: Pass) throws {
    let feed = try feed()
    guard let sink = try pass.offer?.decode(TidbOffer.self).sink else { throw FerryError(.internal, "the offer has no sink") }
    try feed.ensure(start: start, sink: { try sinkURI(sink) }, rules: config.scope.rules)
    // The changefeed keeps what it needs; the hold has done its work.
    try GCHold.release(kv: context.kv, connect: { cluster }) { context.log(.warning, $0) }
    guard pass.isFinal else {
      _ = try feed.reach(try cluster.now())
      return
    }
    guard let barrier = try Fence.barrier(context.kv) else { throw FerryError(.internal, "the final pass came without a barrier") }
    let checkpoint = try feed.reach(barrier)
    try feed.pause()
    context.log(.info, "barrier \(barrier) reached: the changefeed's checkpoint is \(checkpoint)")
  }

  private func sinkURI(_ sink: TidbOffer.Sink) throws -> String {
    guard let password = secrets["sink-password"] ?? secrets["to-password"] else {
      throw FerryError(
        .auth, "TiCDC needs the destination's password", hint: "add `to-password` or `sink-password` under the item's 'secrets'")
    }
    let files = [("ssl-ca", sink.files?.ca), ("ssl-cert", sink.files?.cert), ("ssl-key", sink.files?.key)].compactMap { name, file in
      file.map { "\(name)=\($0.percentEncoded)" }
    }
    let query = files.isEmpty ? "" : "?\(files.joined(separator: "&"))"
    return "mysql://\(sink.user.percentEncoded):\(password.percentEncoded)@\(sink.host):\(sink.port)/\(query)"
  }

  // MARK: Backup

  func state() throws -> State? { try context.kv.get(Self.key, as: State.self) }

  private func begin(_ attempt: Int, _ cluster: TidbCluster) throws -> State {
    guard let uri = config.storage else { throw FerryError(.invalid, "there is no storage for the backup", hint: "add `storage`") }
    let storage = BackupStorage.folder(uri, run: context.run, item: context.item, attempt: attempt)
    let log = "\(context.temporaryFolder)/backup-\(attempt).log"
    let tool = try chooseTool()
    let state = State(
      attempt: attempt, tool: tool, storage: storage, arguments: tool == "br" ? try br.arguments("backup", storage: storage, log: log) : [],
      log: log, notBefore: try cluster.now(), done: nil)
    try context.kv.put(Self.key, state)
    return state
  }

  private func chooseTool() throws -> String {
    switch config.tool ?? .auto {
    case .br: return "br"
    case .sql: return "sql"
    case .auto: return try config.endpoint.pd != nil && br.version() != nil ? "br" : "sql"
    }
  }

  private func backup(_ cluster: TidbCluster) throws -> (State, Done) {
    var state: State
    let sql = SQLBackup(context: context, config: config, secrets: secrets, cluster: cluster)
    if let known = try self.state() {
      if let done = known.done { return (known, done) }
      state = known
      // A backup that a killed process left behind: br takes up its checkpoint, everything else begins again elsewhere.
      if known.tool == "sql" {
        try sql.endOthers("BACKUP", storage: known.storage)
        state = try begin(known.attempt + 1, cluster)
      } else if try cluster.identity().version < TidbVersion(6, 5, 0) {
        state = try begin(known.attempt + 1, cluster)
      }
    } else {
      state = try begin(1, cluster)
    }
    let summary =
      state.tool == "br"
      ? try br.run(state.arguments, storage: state.storage, log: state.log) : try sql.run("BACKUP", storage: state.storage)
    let sources = try confirm(summary.backupTS, state, cluster)
    let done = Done(backupTS: summary.backupTS, size: summary.size, sources: sources, tables: try count(cluster, summary.backupTS))
    state.done = done
    try context.kv.put(Self.key, state)
    context.log(
      .info,
      "backup done by \(state.tool): BackupTS=\(done.backupTS) (from \(sources.joined(separator: ", "))), \(done.tables.count) tables, "
        + "\(done.size) bytes in \(BackupStorage.place(state.storage))")
    return (state, done)
  }

  /// The moment of the snapshot, from two sources: where one says something else, nothing goes on.
  private func confirm(_ ts: UInt64, _ state: State, _ cluster: TidbCluster) throws -> [String] {
    var sources = [state.tool == "br" ? "br's summary" : "the answer of BACKUP"]
    if let decoded = try (try? br.version()) == nil ? nil : br.decodedTS(state.storage) {
      guard decoded == ts else {
        throw FerryError(
          .io, "the backup's moment is \(ts) by \(sources[0]) and \(decoded) by its metadata",
          hint: "run again; nothing goes on from a doubtful moment")
      }
      sources.append("br debug decode")
    } else {
      context.log(.warning, "br debug decode gave no number; the backup's moment is held against the cluster's clock instead")
    }
    let now = try cluster.now()
    guard state.notBefore <= ts, ts <= now else {
      throw FerryError(.io, "the backup's moment \(ts) is not between \(state.notBefore), when it was begun, and \(now)", hint: "run again")
    }
    return sources + ["the cluster's clock"]
  }

  /// How many keys each table had at that moment: what the destination must count as well.
  private func count(_ cluster: TidbCluster, _ ts: UInt64) throws -> [TidbWire.Counted] {
    try cluster.read(at: ts)
    defer { try? cluster.read(at: nil) }
    return try cluster.tables(config.scope).map { table in
      try context.checkCancellation()
      context.progress(bytes: 0)
      do { return .init(table: table, keys: try cluster.keyCount(table)) } catch let error as FerryError where error.isSQL(1836) {
        // A source that was read-only before the run takes no ADMIN.
        return .init(table: table, keys: -1)
      }
    }
  }

  // MARK: Undo

  /// What `discard` and `release` have in common, and at a discard what a killed process may have left.
  func letGo(isUndone: Bool) throws {
    var acts = Compensation()
    let (kv, context) = (context.kv, context)
    if isUndone {
      acts.add("lift the source's read-only state") { try Fence.lower(kv: kv, connect: connect) }
      if let state = try state(), state.done == nil, state.tool == "sql" {
        acts.add("end the backup") {
          try SQLBackup(context: context, config: config, secrets: secrets, cluster: try connect()).endOthers(
            "BACKUP", storage: state.storage)
        }
      }
    }
    acts.add("remove the changefeed") { try Changefeed.remove(context, client: cdc) }
    acts.add("give \(GCHold.variable) back") { try GCHold.release(kv: kv, connect: connect) { context.log(.warning, $0) } }
    try acts.run { context.log(.error, $0) }
    if isUndone { try kv.remove(Self.key) }
  }
}
