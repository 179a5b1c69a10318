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
    } else if isRemote {
      if config.history == true { complain("the history of points goes into record stores only", "leave out 'history'") }
      let target = try serverTarget()
      if try !target.sink.takesCommits() { complain("\(endpoint) takes no commits, so nothing can be cloned into it") }
      if config.filter == nil, try target.sink.cloneSet() == nil {
        complain("\(endpoint) has no clone set @\(target.set)", "give the item a 'filter', and it makes one")
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
    if isRemote {
      let target = try serverTarget()
      let set = try target.prepare(filter: config.filter, server: config.server)
      let offer = RecordCloneOffer(project: target.store.project, filter: set.filter, max: config.max ?? 0)
      return Offer(.inPlace, try JSONValue(encoding: offer).object ?? [:])
    }
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
      endpoint, user: user,
      password: try user == nil ? [] : context.secret(context.side == .source ? "password" : "to-password"),
      project: config.endpoint.project ?? "", cancellation: context.cancellation)
  }

  private var endpoint: String { String(config.endpoint.store.dropFirst("haystack+".utf8.count)) }

  private func serverTarget() throws -> RecordCloneServerTarget {
    try RecordCloneServerTarget(
      client(), folder: context.temporaryFolder, project: config.endpoint.project ?? "", set: target.set ?? "clone-set-\(context.item)",
      kv: context.kv)
  }

  /// Brings the mirror up to date. A file that takes long to read is read less often, unless all that there is now is wanted.
  private func refresh(_ source: Served, _ filter: String, isUrgent: Bool, onward: RecordOutlet? = nil) throws {
    // Not of each record: that is more than anybody sees.
    let progress = { [context] (count: Int) in if count % 1024 == 1 { context.progress(bytes: 0, entries: Int64(count)) } }
    if let follower = source.follower { return _ = try follower.refresh(filter, isUrgent: isUrgent, onward: onward, progress: progress) }
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
        refresh: { [self] in try refresh(served, $0, isUrgent: pass.stay == nil, onward: $1) },
        progress: { pulse.tell(bytes: $0.sent, entries: $0.upserts) })
      try context.kv.put(Self.filterKey, served.server.filter)
      return PassReport(
        bytes: report.sent, entries: report.count, changed: report.upserts + report.removals,
        method: report.methods.map(\.name).joined(separator: ", "))
    } catch {
      self.served = nil
      throw error
    }
  }

  /// The filter of the last pass: somebody may have edited the clone set since the offer was made.
  private static let filterKey = "filter"

  private let windsUp = Lock(false)
  func windUp() { windsUp.withLock { $0 = true } }

  func receive(_ pass: Pass) throws -> PassReport {
    if isRemote { return try receiveForServer(pass) }
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
    let report = try run(client, pass)
    if pass.isFinal {
      try throwIfPassedOver(store.passedOver(id), path)
      try store.flush()
    }
    return PassReport(bytes: report.received, entries: report.count)
  }

  /// Whether the server's clones were made what the store has since this process began.
  private var isReconciled = false

  private func receiveForServer(_ pass: Pass) throws -> PassReport {
    let target = try serverTarget()
    try target.readSet()
    var conflicts: [String] = []
    let client = try CloneClient(
      target.store, set: target.set, tuning: config.tuning, allowsRemovals: true, warn: { [context] in context.log(.warning, $0) },
      settled: { [self] changed in
        guard changed || !isReconciled || pass.isFinal else { return }
        isReconciled = false
        let report = try reconcile(target)
        context.log(.info, "at the server: \(report.added) added, \(report.changed) changed, \(report.removed) removed")
        if !report.conflicts.isEmpty, report.conflicts != conflicts {
          context.log(
            .warning, "the server has records of its own with \(report.conflicts.count) of the clones' ids: they stay what they are")
        }
        conflicts = report.conflicts
        isReconciled = true
      })
    let report = try run(client, pass)
    if pass.isFinal { try throwIfPassedOver(conflicts, endpoint) }
    return PassReport(bytes: report.received, entries: report.count)
  }

  private func reconcile(_ target: RecordCloneServerTarget) throws -> HaystackSink.Report {
    do {
      return try target.sink.reconcile(allowsRemovals: (config.allowRemovals ?? false) || target.hasOtherFilter)
    } catch let error as FerryError where error.class == .peer {
      // Not the other end of the channel, which should hear of it.
      throw FerryError(.io, "\(endpoint): \(error.message)", hint: error.hint)
    }
  }

  private func throwIfPassedOver(_ ids: [String], _ place: String) throws {
    guard !ids.isEmpty else { return }
    throw FerryError(
      .conflict, "\(ids.count) records have ids that others have in \(place): \(ids.prefix(10).map { "@\($0)" }.joined(separator: ", "))",
      hint: "narrow the filter, or rename those")
  }

  private func run(_ client: CloneClient, _ pass: Pass) throws -> CloneClient.Report {
    let pulse = Pulse(context)
    let report = try client.run(
      pass.channel, cancellation: context.cancellation, history: config.history ?? false, stays: pass.stay != nil
    ) { pulse.tell(bytes: $0.received, entries: $0.upserts) }
    context.log(
      .info,
      "\(report.count) clones; found by \(report.methods.map(\.name).joined(separator: ", ")): \(report.upserts) written, \(report.removals) removed; \(report.sent) bytes sent and \(report.received) received, \(report.content) of records; \(report.questions) questions"
    )
    for (point, reason) in report.history?.failures ?? [:] { context.log(.warning, "history of @\(point): \(reason)") }
    return report
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
      let filter = try context.kv.get(Self.filterKey, as: String.self) ?? offered.filter
      if request.isFull { try refresh(source, filter, isUrgent: true) }
      digest = try ContentDigest.progenitors(
        store, Filter(isRemote ? "id" : filter), client: offered.project, algorithm: algorithm, limit: offered.max,
        listing: request.listing)
    } else if isRemote {
      digest = try serverTarget().sink.digest(algorithm, listing: request.listing)
    } else {
      let store = try target.open(active: request.target == .active)
      digest = try ContentDigest.clones(store, target.id(in: store), algorithm: algorithm, listing: request.listing)
    }
    return DigestReport(root: digest.root, entries: digest.count, bytes: digest.bytes)
  }

  func activate() throws { if !isRemote { try target.activate() } }
  func deactivate() throws { if !isRemote { try target.deactivate() } }
  func discard() throws {
    guard context.side == .destination else { return }
    if isRemote { try serverTarget().discard() } else { try target.discard() }
  }
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
