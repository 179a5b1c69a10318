import FerryPluginKit

/// Looks before anything is changed. The numbers are those of TiUniManager's four errors.
struct TidbCheck {
  let context: ProviderContext
  let config: TidbConfig
  let secrets: Secrets
  let connect: () throws -> TidbCluster
  let cdc: () throws -> TicdcClient

  private func complain(_ report: inout CheckReport, _ text: String, _ hint: String = "") {
    report.notices.append(.init(.error, text, hint: hint))
  }

  func source() throws -> CheckReport {
    var report = CheckReport()
    arguments(&report)
    let cluster: TidbCluster
    let identity: TidbCluster.Identity
    do {
      cluster = try connect()
      identity = try cluster.identity()
    } catch {
      return failed(report, error)
    }
    describe(&report, identity)
    if let wanted = config.version.flatMap({ TidbVersion(in: $0) }), wanted < identity.version {
      complain(&report, Precondition.version(identity.version, wanted).message)
    }
    let tables = try cluster.tables(config.scope)
    report.entries = config.kind == .none ? Int64(config.parameters?.count ?? 0) : Int64(tables.count)
    report.bytes = config.kind == .none ? 0 : try cluster.size(config.scope)
    if config.kind == .incremental { try incremental(&report, cluster, identity, tables) }
    try tool(&report, identity)
    return report
  }

  private func incremental(_ report: inout CheckReport, _ cluster: TidbCluster, _ identity: TidbCluster.Identity, _ tables: [TableName])
    throws
  {
    for name in TidbCluster.ownSchemas where try cluster.hasDatabase(name) {
      complain(
        &report, "error 21304: the source follows another cluster itself (it has the database '\(name)')",
        "clone from that cluster, or end the replication first")
    }
    if identity.version < TidbVersion(5, 2, 2) {
      complain(
        &report, "error 21301: the source is \(identity.version); following needs v5.2.2 or newer", "use `data: snapshot` with mode copy")
    }
    do {
      if let version = try cdc().version() { report.versions["ticdc"] = version.description }
    } catch {
      let failure = FerryError.wrap(error)
      complain(&report, "error 21302: the source's TiCDC was not found: \(failure.message)", failure.hint)
    }
    let bad = try cluster.ineligible(tables)
    if !bad.isEmpty {
      complain(
        &report, "TiCDC cannot follow tables without a valid index: \(bad.prefix(5).map(\.description).joined(separator: ", "))",
        "give them a primary key or a unique index over columns that are NOT NULL, or leave them out with `tables`")
    }
  }

  func destination(_ destination: TidbDestination) throws -> CheckReport {
    var report = CheckReport()
    let cluster: TidbCluster
    let identity: TidbCluster.Identity
    do {
      cluster = try connect()
      identity = try cluster.identity()
    } catch {
      return failed(report, error)
    }
    describe(&report, identity)
    if let occupied = try destination.occupied(cluster) { complain(&report, occupied.message, occupied.hint) }
    let copies = try config.copies ?? cluster.copies() ?? 3
    if identity.stores < copies {
      complain(
        &report, "error 21303: the destination has \(identity.stores) TiKV stores and keeps \(copies) copies",
        "add stores, or lower replication.max-replicas")
    }
    try tool(&report, identity)
    return report
  }

  private func describe(_ report: inout CheckReport, _ identity: TidbCluster.Identity) {
    report.versions["tidb"] = identity.version.description
    report.versions["backend"] = identity.backend
  }

  private func arguments(_ report: inout CheckReport) {
    if config.kind != .none {
      if let storage = config.storage {
        if let complaint = BackupStorage.complaint(storage) {
          complain(&report, complaint, "name `s3-access-key` and `s3-secret-key` under the item's 'secrets'")
        }
      } else {
        complain(&report, "there is no storage for the backup", "add `storage`")
      }
    }
    if config.kind == .snapshot, let mode = config.runMode, mode != "copy" {
      complain(
        &report, "data: snapshot with mode \(mode) would lose what is written after the backup", "use `data: incremental`, or mode copy")
    }
    if let hold = GoDuration(config.holdTime), hold < GoDuration("10m") ?? hold || hold > GoDuration("8760h") ?? hold {
      complain(&report, "gc-hold must be between 10m and 8760h")
    }
  }

  /// br must fit the cluster's version.
  private func tool(_ report: inout CheckReport, _ identity: TidbCluster.Identity) throws {
    if config.kind == .none { return }
    let br = BrTool(context: context, config: config, secrets: secrets)
    let version = try br.version()
    if let version { report.versions["br"] = version.description }
    let isUsed = config.tool == .br || (config.tool != .sql && version != nil && config.endpoint.pd != nil)
    guard isUsed else {
      if case .filter = config.scope { complain(&report, "a table filter needs the br program and `pd`", "install br, or move a database") }
      return
    }
    if config.endpoint.pd == nil { complain(&report, "br needs a PD server's address", "add `pd`") }
    guard let version else { return complain(&report, "the program '\(br.program)' cannot be run here", "install br, or say `tool: sql`") }
    if version.major < identity.version.major || version.major > identity.version.major + 1 {
      complain(&report, "br \(version) does not fit TiDB \(identity.version)", "use the br of the cluster's version")
    }
  }

  private func failed(_ report: CheckReport, _ error: any Error) -> CheckReport {
    var report = report
    let failure = FerryError.wrap(error)
    complain(&report, failure.message, failure.hint)
    return report
  }
}

/// What keeps two clusters apart, found once both are known and before anything is changed.
enum Precondition {
  static func version(_ source: TidbVersion, _ destination: TidbVersion) -> FerryError {
    FerryError(
      .precondition, "error 21301: the destination is \(destination), older than the source's \(source)",
      hint: "use the source's version or a later one")
  }

  static func compare(_ source: TidbCluster.Identity, _ destination: TidbCluster.Identity, kind: TidbConfig.Data) throws {
    if destination.version < source.version { throw version(source.version, destination.version) }
    if !source.leader.isEmpty, source.leader == destination.leader {
      throw FerryError(.precondition, "source and destination are one cluster", hint: "check `from` and `to`")
    }
    guard kind != .none else { return }
    guard source.collation == destination.collation else {
      throw FerryError(
        .precondition,
        "new_collations_enabled_on_first_bootstrap is \(source.collation) at the source and \(destination.collation) at the destination",
        hint: "it can be chosen only when a cluster is made: make the destination anew")
    }
    guard source.clusteredIndex == destination.clusteredIndex else {
      throw FerryError(
        .precondition,
        "tidb_enable_clustered_index is \(source.clusteredIndex) at the source and \(destination.clusteredIndex) at the destination",
        hint: "SET GLOBAL tidb_enable_clustered_index = '\(source.clusteredIndex)' at the destination")
    }
  }
}
