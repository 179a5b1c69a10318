import FerryPluginKit
import FerryRecords
import Glibc
import Haystack

/// Keeps clones of the records that a filter matches in another project.
final class RecordCloneProvider: FollowingProvider {
  static let id = "record-clone"
  static let summary = "clones the records that a filter matches into another project, and keeps them in step"
  static let schema = RecordCloneConfig.schema

  private let context: ProviderContext
  private let config: RecordCloneConfig
  /// Lives as long as the process: what it knows of the set makes later passes cheap.
  private var served: Served?

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
    if context.config["run-mode"]?.string == "move" {
      complain("records are not moved: clones without their progenitors make no sense", "use `mode: copy`, or `mode: follow`")
      return report
    }
    guard config.filter != nil || config.set != nil else {
      complain("item '\(context.item)' says neither what to clone nor by which clone set", "give it a 'filter' or a 'set'")
      return report
    }
    if let filter = config.filter {
      do { _ = try Filter(filter) } catch { complain("the filter is wrong: \(FerryError.wrap(error).message)") }
      if !report.notices.isEmpty { return report }
    }
    if context.side == .source {
      if isRemote {
        let about = try client().about()
        if case .string(let version)? = about["productVersion"] ?? about["haystackVersion"] { report.versions["server"] = version }
        return report
      }
      let source = try source()
      let store = source.store
      try refresh(source, config.filter ?? "id", isUrgent: true)
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

  /// What is served: a store, and, if the records come from elsewhere, how the store is kept as they are there.
  private struct Served {
    var store: RecordStore
    var server: CloneServer
    var mirror: Mirror?
    var follower: HaystackFollower?
  }

  private func source() throws -> Served {
    if scheme == "sqlite" {
      let store = try RecordStore(path: path)
      return Served(store: store, server: try CloneServer(store))
    }
    let mirror = try Mirror("\(context.temporaryFolder)/mirror.db", project: config.endpoint.project ?? "", isFiltered: isRemote)
    guard isRemote else { return Served(store: mirror.store, server: try CloneServer(mirror.store), mirror: mirror) }
    let client = try client()
    let follower = HaystackFollower(client, mirror: mirror, every: config.tuning.updateFreq) { [context] in context.log(.info, $0) }
    return Served(
      store: mirror.store, server: try CloneServer(mirror.store, isWhole: true, histories: client), mirror: mirror, follower: follower)
  }

  private var isRemote: Bool { scheme.hasPrefix("haystack") }

  private func client() throws -> HaystackClient {
    let user = config.endpoint.user
    return HaystackClient(
      String(config.endpoint.store.dropFirst("haystack+".utf8.count)), user: user,
      password: try user == nil ? [] : context.secret("password"), project: config.endpoint.project ?? "",
      cancellation: context.cancellation)
  }

  /// Brings the mirror up to date. A file that takes long to read is read less often, unless all that there is now is wanted.
  private func refresh(_ source: Served, _ filter: String, isUrgent: Bool) throws {
    let progress = { [context] (count: Int) in context.progress(bytes: 0, entries: Int64(count)) }
    if let follower = source.follower { return _ = try follower.refresh(filter, isUrgent: isUrgent, progress: progress) }
    guard let mirror = source.mirror else { return }
    if !isUrgent, let lastRead, lastRead.ended.duration(to: .now) < lastRead.took * 10 { return }
    let began = ContinuousClock.now
    let format: RecordFormat = scheme == "hayson" ? .hayson : scheme == "trio" ? .trio : .zinc
    try mirror.refresh(RecordFile(path, format: format)) { count, _ in progress(count) }
    lastRead = (.now, began.duration(to: .now))
  }
  private var lastRead: (ended: ContinuousClock.Instant, took: Duration)?

  func transfer(_ pass: Pass) throws -> PassReport {
    let channel = try pass.channel
    let served = try self.served ?? source()
    self.served = served
    let pulse = Pulse(context)
    let until = pass.stay.map { ContinuousClock.now + $0 }
    windsUp.withLock { $0 = false }
    do {
      let report = try served.server.serve(
        channel, cancellation: context.cancellation,
        stays: until.map { until in { [windsUp] in ContinuousClock.now < until && !windsUp.withLock { $0 } } },
        refresh: { [self] filter in try refresh(served, filter, isUrgent: pass.stay == nil) },
        progress: { pulse.tell(bytes: $0.sent, entries: $0.upserts) })
      return PassReport(
        bytes: report.sent, entries: report.count, changed: report.upserts + report.removals,
        method: report.methods.map(\.name).joined(separator: ", "))
    } catch {
      self.served = nil
      throw error
    }
  }

  private let windsUp = Lock(false)
  func windUp() { windsUp.withLock { $0 = true } }

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
    let pulse = Pulse(context)
    let report = try client.run(
      channel, cancellation: context.cancellation, history: config.history ?? false, stays: pass.stay != nil
    ) { pulse.tell(bytes: $0.received, entries: $0.upserts) }
    context.log(
      .info,
      "\(report.count) clones; found by \(report.methods.map(\.name).joined(separator: ", ")): \(report.upserts) written, \(report.removals) removed; \(report.sent) bytes sent and \(report.received) received, \(report.content) of records; \(report.questions) questions"
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
      let source = try source()
      let store = source.store
      if request.isFull { try refresh(source, offered.filter, isUrgent: true) }
      digest = try ContentDigest.progenitors(
        store, Filter(isRemote ? "id" : offered.filter), client: offered.project, algorithm: algorithm, limit: offered.max,
        listing: request.listing)
    } else {
      let store = try target.open(active: request.target == .active)
      digest = try ContentDigest.clones(store, target.id(in: store), algorithm: algorithm, listing: request.listing)
    }
    return DigestReport(root: digest.root, entries: digest.count, bytes: digest.bytes)
  }

  func activate() throws { try target.activate() }
  func deactivate() throws { try target.deactivate() }
  func discard() throws { if context.side == .destination { try target.discard() } }
  func release() throws { served?.follower?.close() }
}

/// Tells of progress when there is some, and now and then that somebody is there.
private final class Pulse {
  private let context: ProviderContext
  private var last: (bytes: Int64, entries: Int64, at: ContinuousClock.Instant)?

  init(_ context: ProviderContext) { self.context = context }

  func tell(bytes: Int64, entries: Int64) {
    if let last, last.bytes == bytes && last.entries == entries, last.at.duration(to: .now) < .seconds(10) { return }
    last = (bytes, entries, .now)
    context.progress(bytes: bytes, entries: entries)
  }
}
