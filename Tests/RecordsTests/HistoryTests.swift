import FerryRecords
import FerrySystem
import Haystack
import TestSupport
import Testing

@Suite struct HistoryTests {
  let pair: Pair

  init() throws { pair = try Pair() }

  static let hour: Int64 = 3_600_000_000_000

  /// Hourly items from a moment on.
  private func hours(_ count: Int, from moment: String) throws -> [HistoryItem] {
    guard case .dateTime(let start)? = try ZincReader.value(moment) else { throw FerryError(.internal, "no moment") }
    return (0..<count).map { HistoryItem(nanoseconds: start.nanoseconds + Int64($0) * Self.hour, value: .number(HNumber(Double($0)))) }
  }

  private func items(_ store: RecordStore, _ id: String) throws -> [HistoryItem] {
    var items: [HistoryItem] = []
    try store.forEachHistory(id) {
      items.append($0)
      return true
    }
    return items
  }

  @Test("without a span history comes from where each point's ends, that moment included, whichever points a filter takes")
  func fromTheEnd() throws {
    let (server, client) = (try pair.server(), try pair.client())
    try server.commit([
      .add(record("{id:@a point his tz:\"Rome\" kind:\"Number\"}")), .add(record("{id:@b point his tz:\"Rome\" other}")),
      .add(record("{id:@c point}")),
    ])
    try client.commit([.add(record("{id:@mine point his tz:\"Rome\"}"))])
    try pair.want("point")
    try pair.sync()
    let items = try hours(100, from: "2026-03-01T00:00:00Z UTC")
    for id in ["a", "b"] { try server.writeHistory("p:server:r:\(id)", Array(items.prefix(60))) }
    var report = try client.syncHistory(from: server)
    #expect(report.points == 2 && report.items == 120 && report.failures == [:])
    #expect(try self.items(client, "p:client:r:a") == Array(items.prefix(60)))
    // The last item was mended at the server, an earlier one is the client's own, and new ones came.
    var mended = items[59]
    mended.value = .na
    var own = items[3]
    own.value = .string("mine")
    try server.writeHistory("p:server:r:a", [mended] + items[60...])
    try client.writeHistory("p:client:r:a", [own])
    report = try client.syncHistory(Filter("kind"), from: server)
    #expect(report.points == 1 && report.items == 41)
    #expect(try self.items(client, "p:client:r:a") == Array(items[..<3]) + [own] + items[4..<59] + [mended] + items[60...])
    #expect(try self.items(client, "p:client:r:b").count == 60)
  }

  @Test(
    "a span takes the days of the point's own zone, of 23, 24 and 25 hours, and begins with its first moment",
    arguments: [
      ("2026-03-29", "Rome", 23), ("2026-03-30", "Rome", 24), ("2026-10-25", "Rome", 25), ("2026-03-28,2026-03-29", "Rome", 47),
      ("2026-03-29", "UTC", 24), ("2026-03-29", "New_York", 24), ("2026-11-01", "New_York", 25),
      ("2026-03-29T10:00:00Z UTC,2026-03-29", "UTC", 14),
      ("2026-03-29T10:00:00Z UTC,2026-03-29T12:00:00Z UTC", "Rome", 2),
    ])
  func spans(_ span: String, _ zone: String, _ count: Int) throws {
    let (server, client) = (try pair.server(), try pair.client())
    try server.commit([.add(["id": .ref(HRef("a")), "point": .marker, "his": .marker, "tz": .string(zone)])])
    try pair.want("point")
    try pair.sync()
    try server.writeHistory("p:server:r:a", hours(24 * 365, from: "2026-01-01T00:00:00Z UTC"))
    #expect(try client.syncHistory(span: HistorySpan(span), from: server).items == Int64(count))
    let items = try items(client, "p:client:r:a")
    #expect(items.count == count && (items.last?.nanoseconds ?? 0) - (items.first?.nanoseconds ?? 0) == Int64(count - 1) * Self.hour)
  }

  @Test("what is no span says so")
  func noSpans() throws {
    for text in ["", "tomorrow", "2026-13-01", "2026-01-01,", "2026-01-01,2026-01-02,2026-01-03", "7"] {
      #expect(throws: FerryError.self, "\(text)") { try HistorySpan(text) }
    }
  }

  @Test("a point whose zone is another at the server, or is not known, gets nothing, and the others theirs")
  func zones() throws {
    let (server, client) = (try pair.server(), try pair.client())
    try server.commit([
      .add(record("{id:@a point his tz:\"Rome\"}")), .add(record("{id:@b point his tz:\"Nowhere\"}")),
      .add(record("{id:@c point his tz:\"Oslo\"}")), .add(record("{id:@d point his tz:\"Oslo\"}")),
    ])
    try pair.want("point")
    try pair.sync()
    for id in ["a", "b", "c", "d"] { try server.writeHistory("p:server:r:\(id)", hours(48, from: "2026-05-01T00:00:00Z UTC")) }
    try server.commit([.update(id: "a", ["tz": .string("Berlin")]), .remove(id: "d")])
    let report = try client.syncHistory(span: HistorySpan("2026-05-01"), from: server)
    #expect(report.points == 4 && report.items == 22)
    #expect(Set(report.failures.keys) == ["p:client:r:a", "p:client:r:b", "p:client:r:d"])
    #expect(report.failures["p:client:r:a"]?.contains("time zone 'Berlin', the clone in 'Rome'") == true)
    #expect(report.failures["p:client:r:b"]?.contains("'Nowhere' is not known") == true)
  }

  @Test("history comes from a server of others, with the clones or later, and a server that is gone is told from a point that fails")
  func overHTTP() throws {
    let rusty = try RustyServer(1)
    let http = rusty.client()
    let items = try hours(60, from: "2026-05-01T00:30:00Z UTC")
    for id in ["h0", "h1"] {
      let rows = items.prefix(48).map { item in
        HDict(["ts": .dateTime(HDateTime(nanoseconds: item.nanoseconds)), "val": item.value])
      }
      try http.rows("hisWrite", HGrid(meta: ["id": .ref(HRef(id))], columns: [.init("ts"), .init("val")], rows: Array(rows))) { _ in }
    }
    let mirror = try Mirror(pair.folder("mirror.db"), isFiltered: true)
    try mirror.refresh(HaystackQuery(http, filter: "point"))
    let box = ServerBox(try CloneServer(mirror.store, isWhole: true, histories: http))
    try pair.want("point", from: "")
    #expect(try pair.sync(server: box, history: true).client.history?.items == 96)
    let client = try pair.client()
    #expect(try self.items(client, "p:client:r:h0") == Array(items.prefix(48)))
    // Later, from the end: the moment where the history ends comes again.
    let more = items[48...].map { HDict(["ts": .dateTime(HDateTime(nanoseconds: $0.nanoseconds)), "val": $0.value]) }
    try http.rows("hisWrite", HGrid(meta: ["id": .ref(HRef("h0"))], columns: [.init("ts"), .init("val")], rows: Array(more))) { _ in }
    var report = try client.syncHistory(from: http)
    #expect(report.items == 14 && report.failures == [:])
    #expect(try self.items(client, "p:client:r:h0") == items)
    // A day of the point's zone, which is two hours ahead.
    report = try client.syncHistory(span: HistorySpan("2026-05-02"), from: http)
    #expect(report.items == 48)
    try rusty.tell("remove h1")
    report = try client.syncHistory(from: http)
    #expect(report.items == 1 && Array(report.failures.keys) == ["p:client:r:h1"])
    rusty.stop()
    let error = #expect(throws: FerryError.self) { try client.syncHistory(from: http) }
    #expect(error?.class == .retry)
    #expect(try self.items(client, "p:client:r:h0") == items)
  }
}
