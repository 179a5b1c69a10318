import FerryPluginKit

/// Moves a TiDB cluster's data: a snapshot by BR, and what changes after it by TiCDC.
final class TidbProvider: StateProvider {
  static let id = "tidb-br"
  static let summary = "clones a TiDB cluster's data by BR, and follows it by TiCDC until cutover"
  static let schema = TidbConfig.schema

  private let context: ProviderContext
  private let config: TidbConfig
  private let secrets: Secrets

  init(_ context: ProviderContext) throws {
    self.context = context
    config = try context.decodeConfig()
    secrets = try Secrets(context)
  }

  /// Each use has a session of its own, so that nothing set in one is found in another.
  private func connect() throws -> TidbCluster {
    let endpoint = config.endpoint
    let own = context.side == .source ? "from-password" : "to-password"
    let other = context.side == .source ? "to-password" : "from-password"
    var address = SQLAddress(
      host: endpoint.host, port: endpoint.port ?? 4000, user: endpoint.user ?? "root", password: secrets[own] ?? "", tls: endpoint.tls)
    do { return try TidbCluster(address, secrets: secrets) } catch let error as FerryError where error.class == .auth {
      // Restoring the system tables makes the source's accounts the destination's.
      guard config.accounts == .systemTables, context.side == .destination, let password = secrets[other] else { throw error }
      address.password = password
      return try TidbCluster(address, secrets: secrets)
    }
  }

  private func cdc() throws -> TicdcClient {
    guard let base = config.endpoint.cdc else { throw FerryError(.invalid, "there is no address of TiCDC", hint: "add `cdc` to `from`") }
    return TicdcClient(base: base, tls: config.endpoint.clusterTls, secrets: secrets, cancellation: context.cancellation)
  }

  private var source: TidbSource {
    TidbSource(context: context, config: config, secrets: secrets, connect: { try self.connect() }, cdc: { try self.cdc() })
  }
  private var destination: TidbDestination {
    TidbDestination(context: context, config: config, secrets: secrets, connect: { try self.connect() })
  }

  func check() throws -> CheckReport {
    let check = TidbCheck(context: context, config: config, secrets: secrets, connect: { try self.connect() }, cdc: { try self.cdc() })
    return context.side == .source ? try check.source() : try check.destination(destination)
  }

  func prepare() throws -> Offer { try destination.prepare() }

  func prepare(for offer: Offer) throws {
    let cluster = try connect()
    let identity = try cluster.identity()
    try Precondition.compare(identity, try offer.decode(TidbOffer.self).cluster, kind: config.kind)
    context.log(.info, "backend=\(identity.backend) TiDB \(identity.version)")
    try source.hold(cluster)
  }

  func transfer(_ pass: Pass) throws -> PassReport { try source.transfer(pass) }
  func receive(_ pass: Pass) throws -> PassReport { try destination.receive(pass) }

  func freeze() throws {
    guard config.kind == .incremental else { return }
    let barrier = try Fence.raise(try connect(), kv: context.kv, run: context.run)
    context.log(.info, "the source takes no writes since \(barrier)")
  }

  func thaw() throws { try Fence.lower(kv: context.kv) { try connect() } }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    let cluster = try connect()
    let digest = TidbDigest(context: context, cluster: cluster, comparison: config.compare ?? .rows, algorithm: request.algorithm)
    if config.kind == .none {
      var facts = try ParameterCopy.read((config.parameters ?? []).filter { !ParameterCopy.never.contains($0) }, from: cluster)
      facts["data"] = "none"
      return try digest.compute(facts, listing: request.listing)
    }
    // A snapshot goes on being what it was while its source is written to.
    let backup = context.side == .source && config.kind == .snapshot ? try source.state()?.done : nil
    if let backup { try cluster.read(at: backup.backupTS) }
    let tables = try backup?.tables.map(\.table) ?? cluster.tables(config.scope)
    if context.side == .destination { try destination.checkIndexes(tables, cluster) }
    let databases = Set(tables.map(\.database)).sorted()
    var report = try digest.compute(tables, databases: databases, listing: request.listing)
    report.evidence = try evidence(cluster)
    if context.side == .source, let compared = try inspect(tables, request, backup?.backupTS) {
      report.evidence?[SyncDiff.program] = compared
    }
    return report
  }

  /// Once the destination is to have it all: what is not at rest cannot be compared.
  private func inspect(_ tables: [TableName], _ request: DigestRequest, _ snapshot: UInt64?) throws -> String? {
    let barrier = try Fence.barrier(context.kv)
    guard let moment = snapshot ?? barrier, let offer = request.offer, request.depth != .tracked else { return nil }
    let sink = try offer.decode(TidbOffer.self).sink
    return try SyncDiff(context: context, config: config, secrets: secrets, sink: sink)
      .compare(tables, at: snapshot, state: String(moment))
  }

  /// For the receipt: by which moments, on what, and how it was proven.
  private func evidence(_ cluster: TidbCluster) throws -> [String: String] {
    let identity = try cluster.identity()
    var evidence = ["backend": identity.backend, "tidb": identity.version.description]
    let compared = (config.compare ?? .rows) == .rows ? "sums over all rows" : "numbers of rows"
    if context.side == .destination {
      evidence["methods"] = "\(config.checksum ?? true ? "BR's checksum, " : "")Total_kvs at the snapshot, ADMIN CHECK TABLE, \(compared)"
      return evidence
    }
    evidence["methods"] = compared
    if let state = try source.state(), let done = state.done {
      evidence["tool"] = state.tool
      evidence["BackupTS"] = String(done.backupTS)
      evidence["BackupTS by"] = done.sources.joined(separator: ", ")
    }
    if let barrier = try Fence.barrier(context.kv) { evidence["barrier"] = String(barrier) }
    return evidence
  }

  /// Everything has its real name already; the cluster only stops being a follower.
  func activate() throws { try destination.letGo() }
  func deactivate() throws {}

  func discard() throws {
    if context.side == .source { try source.letGo(isUndone: true) } else { try destination.discard() }
  }

  func release() throws {
    if context.side == .source { try source.letGo(isUndone: false) } else { try destination.release() }
  }

  /// Nobody's data is dropped by a program: the source stays as it is, read-only.
  func retire() throws {
    context.log(
      .info, "the source keeps its data and stays read-only; when it is no longer needed, destroy the cluster with what deployed it")
  }
}
