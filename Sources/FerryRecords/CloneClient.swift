import FerrySystem
import Haystack

/// The client's end of one clone set: asks, applies what comes, and stays subscribed for as long as it is told to.
public final class CloneClient {
  /// How often to ask and to be told.
  public struct Tuning: Sendable, Hashable {
    /// When a line comes back, a subscription follows only if the last one is older than this.
    public var subMinTime: Duration = .seconds(60)
    /// A subscription is sent at least as often as this.
    public var subMaxTime: Duration = .seconds(900)
    /// Whether a line that comes back is a reason to subscribe at all.
    public var subOnUp = true
    /// Changes are pushed no more often than this.
    public var updateFreq: Duration = .seconds(3)
    /// At most so many records, the first by id; 0 for all.
    public var maxRecords = 0
    /// The share of its clones that a set may lose at once without somebody's word.
    public var removalShare = 0.2

    /// The defaults.
    public init() {}

    /// Whether so many removals at once need somebody's word. A few never do.
    func isMassRemoval(_ count: Int, of all: Int64) -> Bool { count > 10 && Double(count) > Double(all) * removalShare }
  }

  /// How an exchange went.
  public struct Report: Sendable, Hashable {
    /// How differences were found, each time.
    public var methods: [CloneMethod] = []
    /// Clones written.
    public var upserts: Int64 = 0
    /// Clones removed.
    public var removals: Int64 = 0
    /// Clones now, with those that were passed over.
    public var count: Int64 = 0
    /// Bytes that went to the server.
    public var sent: Int64 = 0
    /// Bytes that came from it.
    public var received: Int64 = 0
    /// Of these, records.
    public var content: Int64 = 0
    /// How often the server wanted to know more to find differences.
    public var questions = 0
    /// What came of the points' history, if that was asked for.
    public var history: HistoryReport?
  }

  let store: RecordStore
  let id: String
  private let tuning: Tuning
  private var report = Report()
  private var applier: CloneApplier
  private var seenVersion: Int64 = -1
  /// What changed while nobody was there to be told.
  private let warn: (String) -> Void
  private var warned: Set<String> = []
  /// Whether more than the guard allows may go.
  private let allowsRemovals: Bool
  /// What is to happen whenever the clones are what the server has.
  private let settled: (_ changed: Bool) throws -> Void

  /// A client of the clone set with an id. `settled` is called each time that the clones are what the server has, and told whether they changed.
  public init(
    _ store: RecordStore, set: String, tuning: Tuning = Tuning(), allowsRemovals: Bool = false,
    warn: @escaping (String) -> Void = { _ in }, settled: @escaping (_ changed: Bool) throws -> Void = { _ in }
  ) throws {
    guard try !store.isIsolated else {
      throw FerryError(
        .precondition, "\(store.path) is isolated: it may be cloned from, and does not clone",
        hint: "`ferry records enable STORE --no-isolated`")
    }
    guard try store.isCloningEnabled else {
      throw FerryError(.precondition, "cloning is not enabled in \(store.path)", hint: "`ferry records enable STORE` enables it")
    }
    self.store = store
    id = set
    self.tuning = tuning
    self.allowsRemovals = allowsRemovals
    self.warn = warn
    self.settled = settled
    applier = try CloneApplier(store, state: store.cloneState(set))
  }

  private func set() throws -> CloneSet {
    guard let set = try store.cloneSet(id) else {
      throw FerryError(
        .precondition, "clone set @\(id) is gone from \(store.path): its clones are orphans",
        hint: "`ferry records orphans STORE` shows them, and removes them")
    }
    return set
  }

  /// Makes the clones what the server has; with `stays`, keeps them so until the server ends it.
  public func run(
    _ channel: Int32, cancellation: Cancellation = Cancellation(), history: Bool = false, stays: Bool = false,
    progress: (Report) -> Void = { _ in }
  ) throws -> Report {
    let connection = CloneConnection(channel, cancellation: cancellation)
    func now() -> Report {
      (report.sent, report.received, report.count) = (connection.sent, connection.received, applier.state.digest.count)
      return report
    }
    // An initial cloning that was killed may have left them out.
    try store.makeIndexes()
    applier = try CloneApplier(store, state: store.cloneState(id))
    do {
      var filter = try greet(connection)
      let age = subscriptionAge
      let isDue = !stays || history || filterWasEdited || age >= tuning.subMaxTime || tuning.subOnUp && age >= tuning.subMinTime
      if try isDue || hasReasonToAsk() { try subscribe(connection, progress: { progress(now()) }) }
      if history {
        report.history = try store.syncHistory(set: id, from: ChannelHistory(connection: connection))
        if stays { try subscribe(connection) { progress(now()) } }
      }
      var lastSub = ContinuousClock.now - min(subscriptionAge, tuning.subMaxTime)
      var next = jittered(tuning.subMaxTime)
      loop: while stays {
        if let message = try connection.receive(milliseconds: 100) {
          switch message.kind {
          case .plan:
            // What does not come out right is compared.
            if try !follow(ClonePlan(message.payload), connection, progress: { progress(now()) }) { lastSub = .now - next }
          case .alive:
            // It was read anew over there: what we have must be compared.
            try subscribe(connection) { progress(now()) }
            lastSub = .now
          case .over: break loop
          default: throw CloneConnection.nonsense
          }
        }
        let version = try store.dataVersion()
        if version != seenVersion {
          seenVersion = version
          if try set().filter != filter {
            filter = try greet(connection)
            lastSub = .now - next
          } else if try hasReasonToAsk() {
            lastSub = .now - next
          }
        }
        if lastSub.duration(to: .now) >= next {
          try subscribe(connection) { progress(now()) }
          lastSub = .now
          next = jittered(tuning.subMaxTime)
        }
        progress(now())
      }
      try connection.send(.over)
      return now()
    } catch let error as FerryError where error.class != .peer && error.class != .cancelled {
      try? connection.send(.failure, json: FerryError(.peer, "the client gave up: \(error.message)"))
      throw error
    }
  }

  /// How old the last subscription is. A clock that was set back since makes it old.
  private var subscriptionAge: Duration {
    guard let last = applier.state.lastSub, last <= RecordStore.now() else { return tuning.subMaxTime }
    return .nanoseconds(RecordStore.now() - last)
  }

  private func hasReasonToAsk() throws -> Bool {
    let state = try store.cloneState(id)
    guard state.isStale else { return false }
    applier = try CloneApplier(store, state: state)
    return true
  }

  private func jittered(_ time: Duration) -> Duration { time * Double.random(in: 0.9...1.1) }

  private func greet(_ connection: CloneConnection) throws -> String {
    let set = try set()
    let seconds = Double(tuning.updateFreq.components.seconds) + Double(tuning.updateFreq.components.attoseconds) / 1e18
    try connection.send(
      .hello,
      json: CloneHello(
        project: store.project, filter: set.filter, limit: tuning.maxRecords == 0 ? nil : tuning.maxRecords,
        updateSeconds: seconds == 3 ? nil : seconds))
    var message = try connection.receive()
    while message.kind != .hello {
      // It pushed while we spoke.
      switch message.kind {
      case .plan: try follow(ClonePlan(message.payload), connection) {}
      case .alive: break
      default: throw CloneConnection.nonsense
      }
      message = try connection.receive()
    }
    let server = try message.json(CloneHello.self)
    guard server.version == 1 else { throw FerryError(.unsupported, "the server speaks version \(server.version) of the clone protocol") }
    guard set.means(server.project) else {
      throw FerryError(
        .precondition, "clone set @\(id) clones from '\(set.server)', and this is '\(server.project)'",
        hint: "its 'cloneProj' or the item's 'from' is wrong")
    }
    guard server.project.isEmpty || server.project != store.project else {
      throw FerryError(
        .precondition, "both ends are project '\(server.project)': a clone would have its progenitor's id",
        hint: "name one of them otherwise")
    }
    // One that was made for a run learns here whom it clones from.
    if set.server.isEmpty, !server.project.isEmpty { try store.put(CloneSet(id: id, server: server.project, filter: set.filter)) }
    // A filter that somebody edited may take away as much as it likes.
    filterWasEdited = !applier.state.filter.isEmpty && applier.state.filter != set.filter
    try applier.note {
      $0.filter = set.filter
      $0.server = server.project
      if filterWasEdited { $0.cursor = CloneCursor() }
    }
    return set.filter
  }
  private var filterWasEdited = false

  /// Asks, and does what the answer says. What does not come out right is compared once more, key by key.
  private func subscribe(_ connection: CloneConnection, progress: () -> Void) throws {
    try applier.prepare()
    try applier.note { $0.lastSub = RecordStore.now() }
    for attempt in 0..<3 {
      let cursor = attempt == 0 ? applier.state.cursor : CloneCursor()
      let question = CloneSubscription(digest: applier.state.digest, cursor: cursor, isThorough: attempt == 2)
      try connection.send(.subscribe, question.bytes)
      var message = try connection.receive()
      while message.kind == .alive { message = try connection.receive() }
      guard message.kind == .plan else { throw CloneConnection.nonsense }
      if try follow(ClonePlan(message.payload), connection, progress: progress) { return }
    }
    try applier.note { $0.flags.insert("mismatch") }
    throw FerryError(
      .peer, "clone set @\(id) does not come out as the server has it", hint: "`ferry records verify STORE` compares content; run it again")
  }

  @discardableResult private func follow(_ plan: ClonePlan, _ connection: CloneConnection, progress: () -> Void) throws -> Bool {
    var plan = plan
    report.methods.append(plan.method)
    switch plan.method {
    case .difference: plan = try sendCells(connection)
    case .manifest:
      report.questions += 1
      try sendKeys(connection)
      plan = try ClonePlan(connection.receive(.found).payload)
    case .equal:
      try applier.note {
        $0.cursor = plan.cursor
        $0.flags.remove("mismatch")
        if plan.isOverMax { $0.flags.insert("overMax") } else { $0.flags.remove("overMax") }
      }
      try noteOverlaps()
      try settled(false)
      return true
    default: break
    }
    let (end, changed) = try applyAll(connection, isBulk: plan.method == .stream, progress: progress)
    let isEqual = applier.state.digest == end.digest
    if plan.method == .stream && end.digest == SetDigest() { report.methods[report.methods.count - 1] = .equal }
    try applier.note {
      if isEqual { $0.cursor = end.cursor }
      let now = RecordStore.now()
      if plan.method != .push { $0.lastSync = now }
      if changed { $0.lastUpdate = now }
      $0.flags.remove("mismatch")
      if plan.isOverMax { $0.flags.insert("overMax") } else { $0.flags.remove("overMax") }
    }
    try noteOverlaps()
    if isEqual { try settled(changed) }
    // Only now may the server forget what it had for us.
    try connection.send(.done, CloneEnd(digest: applier.state.digest, cursor: end.cursor).bytes)
    if !isEqual { try recount() }
    return isEqual
  }

  private func noteOverlaps() throws {
    let over = try store.passedOver(id)
    if over.isEmpty == applier.state.flags.contains("overlaps") {
      try applier.note { if over.isEmpty { $0.flags.remove("overlaps") } else { $0.flags.insert("overlaps") } }
    }
    let news = over.filter { !warned.contains($0) }
    guard !news.isEmpty else { return }
    warned.formUnion(news)
    let shown = news.prefix(10).map { "@\($0)" }.joined(separator: ", ")
    warn(
      "clone set @\(id) overlaps: \(news.count) of its records have ids that others have here, and stay theirs: \(shown)\(news.count > 10 ? ", …" : "")"
    )
  }

  /// The digest as it is on disk, not as it was kept.
  private func recount() throws {
    var digest = SetDigest()
    try applier.forEachHash { hash, _ in digest.add(hash) }
    try applier.note { $0.digest = digest }
  }

  private func sendCells(_ connection: CloneConnection) throws -> ClonePlan {
    let keys = try applier.keys()
    var encoder = RatelessEncoder(keys)
    var sketch: DifferenceSketch? = DifferenceSketch(keys)
    var count = CloneCells.first
    while true {
      try connection.send(.cells, CloneCells(sketch: sketch, cells: encoder.next(count)).bytes)
      sketch = nil
      report.questions += 1
      let message = try connection.receive()
      switch message.kind {
      case .found: return try ClonePlan(message.payload)
      case .wantKeys:
        report.methods[report.methods.count - 1] = .manifest
        report.questions += 1
        try sendKeys(connection)
        return try ClonePlan(connection.receive(.found).payload)
      case .wantCells:
        let wanted = try message.payload.withUnsafeBytes {
          var reader = MessageReader($0)
          return Int(try reader.fixed(UInt32.self))
        }
        guard wanted > encoder.produced, wanted - encoder.produced <= 4 << 20 else { throw CloneConnection.nonsense }
        count = min(wanted - encoder.produced, 1 << 20)
      default: throw CloneConnection.nonsense
      }
    }
  }

  private func sendKeys(_ connection: CloneConnection) throws {
    let keys = try applier.keys()
    var start = 0
    while start < keys.count {
      let end = min(start + 65536, keys.count)
      var writer = MessageWriter()
      for key in keys[start..<end] { writer.fixed(key) }
      try connection.send(.keys, writer.bytes)
      start = end
    }
    try connection.send(.keys)
  }

  /// Applies messages until the end, some at a time: what came before a cut line need not come again.
  private func applyAll(_ connection: CloneConnection, isBulk: Bool, progress: () -> Void) throws -> (end: CloneEnd, changed: Bool) {
    let before = (applier.applied, applier.removed)
    let now = RecordStore.now()
    var end: CloneEnd?
    // Into a store that has hardly anything, indexes are cheaper made at the end.
    let isIndexedLast = try isBulk && store.isNearlyEmpty
    while end == nil {
      try store.asApplier(isBulk: isBulk) {
        if isIndexedLast { try store.dropIndexes(butID: true) }
        var bytes = 0
        while end == nil && bytes < 32 << 20 {
          let message = try connection.receive()
          bytes += message.payload.count
          switch message.kind {
          case .records:
            report.content += Int64(message.payload.count)
            try applier.apply(records: message.payload, now: now)
          case .removeIDs: try applier.doom(ids: message.payload)
          case .removeKeys: try applier.doom(keys: message.payload)
          case .end: end = try CloneEnd(message.payload)
          default: throw CloneConnection.nonsense
          }
          report.upserts = applier.applied
          progress()
        }
        if isIndexedLast, end != nil { try store.makeIndexes() }
        try store.save(applier.state)
      }
    }
    guard let end else { throw CloneConnection.nonsense }
    let doomed = try applier.stillDoomed()
    try guardRemovals(doomed.count)
    if !doomed.isEmpty {
      try store.asApplier {
        try applier.remove(doomed)
        try store.save(applier.state)
      }
    }
    report.removals = applier.removed
    return (end, before != (applier.applied, applier.removed))
  }

  /// A bad read at the server, or a slip of somebody's hand, looks like this.
  private func guardRemovals(_ count: Int) throws {
    let all = applier.state.digest.count
    guard !allowsRemovals, !filterWasEdited, tuning.isMassRemoval(count, of: all) else { return }
    throw Self.massRemoval(count, of: all, in: id, "nothing was removed")
  }

  /// `state`: what has come of it.
  static func massRemoval(_ count: Int, of all: Int64, in set: String, _ state: String) -> FerryError {
    FerryError(
      .precondition, "clone set @\(set) would lose \(count) of its \(all) clones at once: \(state)",
      hint: "if that is meant, say so with `allow-removals: true`", code: "mass-removal")
  }
}
