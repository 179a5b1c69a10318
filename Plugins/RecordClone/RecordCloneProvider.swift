import FerryPluginKit
import FerryRecords
import Glibc
import Haystack

/// Keeps clones of the records that a filter matches in another project.
final class RecordCloneProvider: StateProvider {
  static let id = "record-clone"
  static let summary = "clones the records that a filter matches into another project, and keeps them in step"
  static let schema = RecordCloneConfig.schema

  private let context: ProviderContext
  private let config: RecordCloneConfig
  /// Lives as long as the process: what it knows of the set makes later passes cheap.
  private var served: (server: CloneServer, mirror: Mirror?)?

  private var scheme: String { String(config.endpoint.store.prefix { $0 != ":" }) }
  private var path: String { String(config.endpoint.store.drop { $0 != ":" }.dropFirst()) }
  private var target: RecordCloneTarget {
    RecordCloneTarget(
      path: path, project: config.endpoint.project ?? "", run: context.run, item: context.item, kv: context.kv,
      set: config.set.map { $0.hasPrefix("@") ? String($0.dropFirst()) : $0 })
  }

  init(_ context: ProviderContext) throws {
    self.context = context
    config = try context.decodeConfig()
  }

  func check() throws -> CheckReport {
    var report = CheckReport()
    func complain(_ text: String, _ hint: String = "") { report.notices.append(.init(.error, text, hint: hint)) }
    guard config.filter != nil || config.set != nil else {
      complain("item '\(context.item)' says neither what to clone nor by which clone set", "give it a 'filter' or a 'set'")
      return report
    }
    if let filter = config.filter {
      do { _ = try Filter(filter) } catch { complain("the filter is wrong: \(FerryError.wrap(error).message)") }
      if !report.notices.isEmpty { return report }
    }
    if context.side == .source {
      let store = try source().store
      guard try store.isCloningEnabled else {
        complain("cloning is not enabled in \(path)", "`ferry records enable sqlite:\(path)` enables it")
        return report
      }
      if let filter = config.filter {
        let digest = try ContentDigest.progenitors(store, Filter(filter), client: "", limit: config.max ?? 0)
        (report.entries, report.bytes) = (digest.count, digest.bytes)
      }
    } else if Files.exists(path) {
      let store = try RecordStore(path: path)
      if try store.isIsolated { complain("\(path) is isolated: it may be cloned from, and does not clone") }
      if try !store.isCloningEnabled { complain("cloning is not enabled in \(path)", "`ferry records enable sqlite:\(path)` enables it") }
      if config.filter == nil, try store.cloneSet(target.id(in: store)) == nil {
        complain("\(path) has no clone set @\(target.id(in: store))", "give the item a 'filter', and it makes one")
      }
    } else if config.filter == nil {
      complain("there is no record store \(path), so it has no clone set", "give the item a 'filter', and it makes both")
    }
    return report
  }

  func prepare() throws -> Offer {
    let set = try target.prepare(filter: config.filter, server: config.server)
    let offer = RecordCloneOffer(project: try target.open().project, filter: set.filter, max: config.max ?? 0)
    return Offer(target.isNew ? .private : .inPlace, try JSONValue(encoding: offer).object ?? [:])
  }

  func prepare(for offer: Offer) throws { _ = try source() }

  /// The store that is served, and, if the records come from elsewhere, their mirror.
  private func source() throws -> (server: CloneServer, mirror: Mirror?, store: RecordStore) {
    if scheme == "sqlite" {
      let store = try RecordStore(path: path)
      return (try CloneServer(store), nil, store)
    }
    let folder = context.temporaryFolder.isEmpty ? Files.parent(of: path) : context.temporaryFolder
    let mirror = try Mirror("\(folder)/mirror.db", project: config.endpoint.project ?? "")
    try mirror.refresh(RecordFile(path, format: scheme == "hayson" ? .hayson : scheme == "trio" ? .trio : .zinc)) { [context] in
      context.progress(bytes: 0, entries: Int64($0))
    }
    return (try CloneServer(mirror.store), mirror, mirror.store)
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    let channel = try pass.channel
    if served == nil {
      let made = try source()
      served = (made.server, made.mirror)
    }
    guard let served else { throw FerryError(.internal, "there is nothing to serve") }
    let until = pass.stay.map { ContinuousClock.now + $0 }
    do {
      let report = try served.server.serve(
        channel, cancellation: context.cancellation, stays: until.map { until in { ContinuousClock.now < until } },
        refresh: { [self] in if let mirror = served.mirror { try mirror.refresh(file()) } },
        progress: { [context] in context.progress(bytes: $0.sent, entries: $0.upserts) })
      return PassReport(bytes: report.sent, entries: report.count, changed: report.upserts + report.removals)
    } catch {
      self.served = nil
      throw error
    }
  }

  private func file() throws -> RecordFile {
    try RecordFile(path, format: scheme == "hayson" ? .hayson : scheme == "trio" ? .trio : .zinc)
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let channel = try pass.channel
    if pass.stay != nil && target.isNew {
      throw FerryError(
        .precondition, "\(path) does not exist yet: what is received gets its name only at the end, and 'follow: forever' has none",
        hint: "`ferry records create sqlite:\(path)` makes it")
    }
    let store = try target.open()
    let id = target.id(in: store)
    let client = try CloneClient(store, set: id, tuning: config.tuning, allowsRemovals: config.allowRemovals ?? false) { [context] in
      context.log(.warning, $0)
    }
    let report = try client.run(
      channel, cancellation: context.cancellation, history: config.history ?? false, stays: pass.stay != nil
    ) { [context] in context.progress(bytes: $0.received, entries: $0.upserts) }
    context.log(
      .info,
      "\(report.count) clones; found by \(report.methods.map(\.name).joined(separator: ", ")): \(report.upserts) written, \(report.removals) removed"
    )
    for (point, reason) in report.history?.failures ?? [:] { context.log(.warning, "history of @\(point): \(reason)") }
    if pass.isFinal {
      let over = try store.passedOver(id)
      guard over.isEmpty else {
        throw FerryError(
          .conflict,
          "\(over.count) records have ids that others have in \(path): \(over.prefix(10).map { "@\($0)" }.joined(separator: ", "))",
          hint: "narrow the filter, or rename those")
      }
      try store.flush()
    }
    return PassReport(bytes: report.received, entries: report.count)
  }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    let algorithm: ContentDigest.Algorithm = request.algorithm == .sha256 ? .sha256 : .xxh3
    let digest: ContentDigest
    if context.side == .source {
      guard let offered = try request.offer?.decode(RecordCloneOffer.self) else {
        throw FerryError(.internal, "the digest came without an offer")
      }
      digest = try ContentDigest.progenitors(
        source().store, Filter(offered.filter), client: offered.project, algorithm: algorithm, limit: offered.max, listing: request.listing)
    } else {
      let store = try target.open(active: request.target == .active)
      digest = try ContentDigest.clones(store, target.id(in: store), algorithm: algorithm, listing: request.listing)
    }
    return DigestReport(root: digest.root, entries: digest.count, bytes: digest.bytes)
  }

  func activate() throws { try target.activate() }
  func deactivate() throws { try target.deactivate() }
  func discard() throws { if context.side == .destination { try target.discard() } }
  func release() throws {}
}
