import FerrySystem
import Haystack

/// The server's end of one clone set: says what has changed, and sends it. Keeps what it knows of the set from one pass to the next.
public final class CloneServer {
  /// How an exchange went, for `--json` and the log.
  public struct Report: Sendable, Hashable {
    /// How differences were found, each way once, in the order of their first use.
    public var methods: [CloneMethod] = []
    /// Records sent, and ids.
    public var upserts: Int64 = 0
    /// Records that had to go.
    public var removals: Int64 = 0
    /// Members of the set now.
    public var count: Int64 = 0
    /// Bytes that went to the client, and that came from it.
    public var sent: Int64 = 0
    /// Bytes that came from it.
    public var received: Int64 = 0

    mutating func note(_ method: CloneMethod) { if !methods.contains(method) { methods.append(method) } }
  }

  let store: RecordStore
  /// Set where the store holds nothing else: what a filter meant elsewhere need not be asked again.
  private let isWhole: Bool
  private var set: (hello: String, served: ServedSet)?
  private let relativizer: Relativizer
  private var updateSeconds = 3.0
  private var pending: [CloneMessage] = []
  /// What the client wants, as it said last.
  public private(set) var filter = ""

  /// Where points' history is.
  let histories: any HistorySource

  /// Serves a store. `isWhole`: it is the mirror of what a filter found elsewhere. `histories`: where history is, if not in the store.
  public init(_ store: RecordStore, isWhole: Bool = false, histories: (any HistorySource)? = nil) throws {
    self.store = store
    self.isWhole = isWhole
    self.histories = histories ?? store
    relativizer = Relativizer(projects: [store.project])
  }

  /// Answers the client on a channel until it says that it has enough. With `stays`, what changes is pushed, and it is the server that ends it
  /// once that is no longer so. `refresh` brings the store up to date, and may tell what it reads for the first time while it does.
  public func serve(
    _ channel: Int32, cancellation: Cancellation = Cancellation(), stays: (() -> Bool)? = nil,
    refresh: (_ filter: String, _ onward: RecordOutlet?) throws -> Void = { _, _ in },
    progress: (Report) -> Void = { _ in }
  ) throws -> Report {
    let connection = CloneConnection(channel, cancellation: cancellation)
    var report = Report()
    pending.removeAll()
    do {
      try greet(connection)
      // A client that stays need not ask first: what changed since it was up to date is pushed.
      var isSettled = stays != nil
      var lastPush = ContinuousClock.now
      var lastRefresh = lastPush
      while true {
        if let message = try pending.popLast() ?? connection.receive(milliseconds: isSettled && stays != nil ? 100 : -1) {
          switch message.kind {
          case .hello:
            try greet(connection, message)
            isSettled = false
          case .subscribe:
            let subscription = try CloneSubscription(message.payload)
            if isWhole, subscription.digest == SetDigest(), try served().limit == 0 {
              isSettled = try pass(on: { try refresh(filter, $0) }, connection, &report)
            } else {
              try refresh(filter, nil)
              isSettled = try answer(subscription, connection, &report)
            }
            lastRefresh = .now
            lastPush = .now
          case .wantHistory:
            try history(message, connection)
            isSettled = false
          case .over: return finish(report, connection)
          default: throw CloneConnection.nonsense
          }
        } else if let stays {
          guard stays() else {
            try connection.send(.over)
            isSettled = false
            continue
          }
          // Elsewhere one asks every so often; what the store says of itself costs nothing. What changes often goes out less often.
          let now = ContinuousClock.now
          if lastRefresh.duration(to: now) >= .seconds(updateSeconds) {
            try refresh(filter, nil)
            lastRefresh = now
          }
          if lastPush.duration(to: now) >= .seconds(updateSeconds), try push(connection, &report) { lastPush = .now }
        }
        progress(finish(report, connection))
      }
    } catch let error as FerryError where error.class != .peer && error.class != .cancelled {
      // The client should know why, rather than that the line went dead.
      try? connection.send(.failure, json: error)
      throw error
    }
  }

  private func finish(_ report: Report, _ connection: CloneConnection) -> Report {
    var report = report
    report.count = set?.served.digest.count ?? 0
    (report.sent, report.received) = (connection.sent, connection.received)
    return report
  }

  private func greet(_ connection: CloneConnection, _ message: CloneMessage? = nil) throws {
    let message = try message ?? connection.receive(.hello)
    let hello = try message.json(CloneHello.self)
    guard hello.version == 1 else {
      throw FerryError(.unsupported, "the client speaks version \(hello.version) of the clone protocol, and this end 1")
    }
    guard try store.isCloningEnabled else {
      throw FerryError(
        .precondition, "project '\(store.project)' does not let itself be cloned: cloning is not enabled there",
        hint: "`ferry records enable STORE` enables it")
    }
    let limit = hello.limit ?? 0
    guard let text = hello.filter, limit >= 0 else { throw CloneConnection.nonsense }
    updateSeconds = max(0, hello.updateSeconds ?? 3)
    let asked = try Filter(text)
    filter = text
    // A mirror has what the filter found elsewhere, and nothing else.
    let filter = try isWhole ? Filter("id") : asked
    let name = "\(limit) \(hello.project) \(text)"
    if set?.hello != name { set = (name, try ServedSet(store, filter: filter, limit: limit, clientProject: hello.project)) }
    try connection.send(.hello, json: CloneHello(project: store.project))
  }

  private func served() throws -> ServedSet {
    guard let set else { throw CloneConnection.nonsense }
    return set.served
  }

  /// Brings a client that has nothing up to date with a source that is being read for the first time: what is read goes on at once. Should the
  /// reading fail, the client has some records that are the source's, and nothing that says they are all.
  private func pass(on reading: (RecordOutlet) throws -> Void, _ connection: CloneConnection, _ report: inout Report) throws -> Bool {
    let served = try served()
    let sender = try stream(connection, &report)
    let isRead = try served.follow(reading) { try sender.add($0) }
    return try store.database.transaction("DEFERRED") {
      if !isRead { try sendAll(served, sender) }
      return try conclude(served, sender, connection, &report)
    }
  }

  private func stream(_ connection: CloneConnection, _ report: inout Report) throws -> RecordSender {
    report.note(.stream)
    try connection.send(.plan, ClonePlan(.stream, isOverMax: false, upserts: 0, removals: 0).bytes)
    return RecordSender(connection, relativizer)
  }

  /// The first reading of a set is its sending as well.
  private func sendAll(_ served: ServedSet, _ sender: RecordSender) throws {
    let isFirst = served.seq == nil
    try served.refresh { if isFirst { try sender.add($0) } }
    if !isFirst { try sender.add(rows: served.rows(), in: store) }
  }

  /// Brings the client up to date; says whether it is.
  private func answer(_ subscription: CloneSubscription, _ connection: CloneConnection, _ report: inout Report) throws -> Bool {
    try store.database.transaction("DEFERRED") {
      let served = try served()
      if subscription.digest == SetDigest() {
        let sender = try stream(connection, &report)
        try sendAll(served, sender)
        return try conclude(served, sender, connection, &report)
      }
      try served.refresh()
      if served.digest == subscription.digest {
        report.note(.equal)
        let cursor = CloneCursor(epoch: try store.epoch, seq: served.seq ?? 0)
        try connection.send(.plan, ClonePlan(isOverMax: served.isOverMax, cursor: cursor).bytes)
        served.settle()
        return true
      }
      if !subscription.isThorough {
        if served.base == subscription.digest {
          return try send(.cursor, served, served.upserts, .ids(served.removals), connection, &report)
        }
        if let changes = try served.changes(since: subscription.cursor) {
          return try send(.cursor, served, changes.upserts, .ids(changes.removals), connection, &report)
        }
      }
      return try compare(subscription, served, connection, &report)
    }
  }

  /// Finds the differences by what both ends have.
  private func compare(
    _ subscription: CloneSubscription, _ served: ServedSet, _ connection: CloneConnection, _ report: inout Report
  ) throws -> Bool {
    let gap = abs(served.digest.count - subscription.digest.count)
    let keys = served.keys()
    if !subscription.isThorough && gap < max(served.digest.count, subscription.digest.count) / 3 {
      try connection.send(.plan, ClonePlan(.difference, isOverMax: served.isOverMax, upserts: 0, removals: 0).bytes)
      var encoder = RatelessEncoder(keys)
      var decoder = RatelessDecoder()
      // Past this the client's keys cost less.
      let most = max(64, Int(subscription.digest.count) * 8 / RatelessCell.size)
      while encoder.produced < most {
        let theirs = try CloneCells(connection.receive(.cells).payload, hasSketch: encoder.produced == 0)
        guard encoder.produced + theirs.cells.count <= most + 65536 else { throw CloneConnection.nonsense }
        decoder.add(encoder.next(theirs.cells.count), theirs.cells)
        if decoder.isComplete {
          return try send(.difference, served, served.rows(of: decoder.ours), .keys(decoder.theirs), connection, &report)
        }
        var wanted = encoder.produced + encoder.produced / 4
        if let sketch = theirs.sketch {
          let surplus = served.digest.count - subscription.digest.count
          wanted = max(wanted, RatelessTable.cells(forSome: DifferenceSketch(keys).distance(to: sketch, surplus: surplus)))
        }
        if wanted > most { break }
        var writer = MessageWriter()
        writer.fixed(UInt32(wanted))
        try connection.send(.wantCells, writer.bytes)
      }
      try connection.send(.wantKeys)
    } else {
      try connection.send(.plan, ClonePlan(.manifest, isOverMax: served.isOverMax, upserts: 0, removals: 0).bytes)
    }
    var theirs: Set<UInt64> = []
    while true {
      let payload = try connection.receive(.keys).payload
      if payload.isEmpty { break }
      try payload.withUnsafeBytes {
        var reader = MessageReader($0)
        while !reader.isAtEnd { theirs.insert(try reader.fixed(UInt64.self)) }
      }
    }
    var ours: Set<UInt64> = []
    for key in keys where theirs.remove(key) == nil { ours.insert(key) }
    return try send(.manifest, served, served.rows(of: ours), .keys(theirs), connection, &report)
  }

  /// Sends what has changed since the client was up to date; says whether there was something to say.
  private func push(_ connection: CloneConnection, _ report: inout Report) throws -> Bool {
    try store.database.transaction("DEFERRED") {
      let served = try served()
      try served.refresh()
      guard served.base != nil else {
        // Nothing known of what the client has since: it will ask.
        try connection.send(.alive)
        return true
      }
      guard served.hasNews else { return false }
      _ = try send(.push, served, served.upserts, .ids(served.removals), connection, &report)
      return true
    }
  }

  private enum Removals {
    case ids(Set<String>)
    case keys(Set<UInt64>)
    var count: Int {
      switch self {
      case .ids(let ids): ids.count;
      case .keys(let keys): keys.count
      }
    }
  }

  private func send(
    _ method: CloneMethod, _ served: ServedSet, _ upserts: Set<Int64>, _ removals: Removals, _ connection: CloneConnection,
    _ report: inout Report
  ) throws -> Bool {
    report.note(method)
    let kind: CloneMessage.Kind = method == .difference || method == .manifest ? .found : .plan
    try connection.send(kind, ClonePlan(method, isOverMax: served.isOverMax, upserts: upserts.count, removals: removals.count).bytes)
    switch removals {
    case .ids(let ids):
      var writer = MessageWriter()
      for id in ids { Array(id.utf8).withUnsafeBytes { writer.block($0) } }
      if !ids.isEmpty { try connection.send(.removeIDs, writer.bytes) }
    case .keys(let keys):
      var writer = MessageWriter()
      for key in keys { writer.fixed(key) }
      if !keys.isEmpty { try connection.send(.removeKeys, writer.bytes) }
    }
    let sender = RecordSender(connection, relativizer)
    try sender.add(rows: upserts.sorted(), in: store)
    report.removals += Int64(removals.count)
    return try conclude(served, sender, connection, &report)
  }

  /// Says what the set is, and hears what the client made of it.
  private func conclude(
    _ served: ServedSet, _ sender: RecordSender, _ connection: CloneConnection, _ report: inout Report
  ) throws -> Bool {
    try sender.flush()
    report.upserts += sender.count
    try connection.send(
      .end, CloneEnd(digest: served.digest, cursor: CloneCursor(epoch: try store.epoch, seq: served.seq ?? 0)).bytes)
    var message = try connection.receive()
    // It spoke while we pushed: that is heard afterwards.
    while message.kind == .subscribe || message.kind == .hello {
      pending.insert(message, at: 0)
      message = try connection.receive()
    }
    guard message.kind == .done else { throw CloneConnection.nonsense }
    let answer = try CloneEnd(message.payload)
    guard answer.digest == served.digest else { return false }
    served.settle()
    return true
  }
}

/// Sends records, some at a time.
private final class RecordSender {
  private let connection: CloneConnection
  private let relativizer: Relativizer
  private var batch = PackedBuilder()
  private(set) var count: Int64 = 0

  init(_ connection: CloneConnection, _ relativizer: Relativizer) { (self.connection, self.relativizer) = (connection, relativizer) }

  /// The relative id, the time of change, the tags; each with its length.
  func add(_ row: RecordStore.Row) throws {
    let id = relativizer.relative(row.id)
    batch.fixed(UInt32(id.count))
    batch.raw(id)
    batch.fixed(row.mod)
    let start = batch.openLength()
    CloneForm.appendRelative(row.tags, relativizer, to: &batch)
    batch.close(start)
    count += 1
    if batch.bytes.count > 1 << 18 { try flush() }
  }

  func add(rows: some Sequence<Int64>, in store: RecordStore) throws {
    let statement = try store.database.prepare("SELECT id, mod, tags FROM records WHERE rid = ?")
    for rid in rows {
      statement.reset()
      statement.bind(1, rid)
      guard try statement.step() else { continue }
      try add(RecordStore.Row(rid: rid, id: statement.bytes(0), mod: statement.int(1), tags: statement.bytes(2)))
    }
  }

  func flush() throws {
    guard !batch.bytes.isEmpty else { return }
    try connection.send(.records, batch.bytes)
    batch.bytes.removeAll(keepingCapacity: true)
  }
}
