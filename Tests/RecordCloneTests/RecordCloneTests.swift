import Ferry
import FerryRecords
import FerrySystem
import Haystack
import PluginHarness
import TestSupport
import Testing

@testable import RecordClonePlugin

@Suite struct RecordCloneTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    let server = try RecordStore(creating: folder("server.db"), project: "server")
    try server.commit((0..<100).map { .add(["id": .ref(HRef("p\($0)")), "point": .marker]) })
  }

  func harness(_ keys: [String: JSONValue] = [:], from: String? = nil) throws -> Harness {
    try Harness(
      product: "record-clone", provider: "record-clone", folder: folder, from: ["store": .string(from ?? "sqlite:\(folder("server.db"))")],
      to: ["store": .string("sqlite:\(folder("client.db"))"), "project": "client"], keys: keys)
  }

  func errors(_ harness: Harness, _ side: Side) throws -> [String] {
    try harness.call(side, .check)["notices"]?.array?.filter { $0["severity"] == "error" }.compactMap { $0["text"]?.string } ?? []
  }

  @Test("the README's table has every key of the schema, and no other")
  func keys() throws {
    let schema = try JSONValue(parsing: RecordCloneConfig.schema)
    var known: Set<String> = []
    for (name, value) in schema["properties"]?.object ?? [:] {
      let inner = value["properties"]?.object?.keys.map { "\(name).\($0)" } ?? []
      known.formUnion(inner.isEmpty ? [name] : inner)
    }
    let text = String(decoding: try Files.read("\(Products.repository)/Plugins/RecordClone/README.md"), as: UTF8.self)
    let table = text.split(separator: "\n").prefix { !$0.hasPrefix("## ") }.filter { $0.hasPrefix("| `") }
    var said: Set<String> = []
    for line in table {
      let parts = line.split(separator: "|")[0].split(separator: "`", omittingEmptySubsequences: false)
      said.formUnion(stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) })
    }
    #expect(said == known)
  }

  @Test("what would not work is said by check")
  func checks() throws {
    #expect(try errors(harness(), .source).first?.contains("neither what to clone") == true)
    #expect(try errors(harness(["filter": "point and"]), .source).first?.contains("filter:1:10") == true)
    #expect(try errors(harness(["set": "x"]), .destination).first?.contains("no clone set") == true)
    #expect(try errors(harness(["filter": "point"]), .destination) == [])
    #expect(try errors(harness(["filter": "point", "run-mode": "move"]), .source).first?.contains("not moved") == true)
    try RecordStore(path: folder("server.db")).setCloning(false)
    #expect(try errors(harness(["filter": "point"]), .source).first?.contains("not enabled") == true)
    try RecordStore(creating: folder("client.db"), project: "client").setIsolated(true)
    #expect(try errors(harness(["filter": "point"]), .destination).first?.contains("isolated") == true)
  }

  @Test(
    "an item that is followed for ever gets each change while a pass lasts, an edited filter takes effect in it, and it ends when asked to")
  func follows() throws {
    let client = try RecordStore(creating: folder("client.db"), project: "client")
    let server = try RecordStore(path: folder("server.db"))
    let harness = try harness(["filter": "point", "update-freq": "100ms", "allow-removals": true])
    let offer = try harness.call(.destination, .prepare)
    try harness.call(.source, .prepare, ["offer": offer])
    for pass in 0..<1 {
      let (left, right) = try Descriptor.socketPair()
      let folder = folder
      let over = Signal()
      let results = Lock<[String]>([])
      for (side, channel) in [(Side.source, left), (.destination, right)] {
        let host = try harness.host(side)
        Threads.detach {
          do {
            _ = try host.call(
              side == .source ? .transfer : .receive, pass: pass, flags: pass == 0 ? [.first] : [], channels: [channel],
              arguments: ["offer": offer, "stay": 600])
          } catch { results.withLock { $0.append("\(side): \(error)") } }
          channel.close()
          over.raise()
        }
      }
      try waitFor("the clones") { try client.count(Filter("clone")) == 100 }
      try server.commit([.update(id: "p\(pass)", ["dis": .string("new")])])
      try waitFor("a change") { try client.read("p\(pass)")?.tree["dis"] == .string("new") }
      try server.commit([.add(["id": .ref(HRef("late")), "point": .marker])])
      try waitFor("an arrival") { try client.read("late") != nil }
      try server.commit([.remove(id: "late")])
      try waitFor("a departure") { try client.read("late") == nil }
      let set = try #require(try client.cloneSets().first)
      try client.put(CloneSet(id: set.id, server: set.server, filter: "dis"))
      try waitFor("the new filter") { try client.count(Filter("clone")) == pass + 1 }
      try client.put(set)
      try waitFor("the old filter") { try client.count(Filter("clone")) == 100 }
      let source = try harness.host(.source)
      var running = 2
      try waitFor("the end of the pass") {
        source.windUp()
        if over.wait(atMost: .milliseconds(100)) { running -= 1 }
        return running == 0
      }
      #expect(results.withLock { $0 } == [])
      _ = folder
    }
  }

  @Test("a file is a source, and what it no longer holds goes", arguments: ["zinc", "trio", "json"])
  func files(_ ending: String) throws {
    let path = folder("records.\(ending)")
    let records = try RecordStore(path: folder("server.db"))
    func write() throws {
      var text: [UInt8] = []
      try RecordFormat(path: path).write(records, nil) { text += $0 }
      try Files.replace(path, with: text)
    }
    try write()
    let harness = try harness(["filter": "point"], from: "\(ending == "json" ? "hayson" : ending):\(path)")
    #expect(try errors(harness, .source) == [])
    try harness.prepare()
    try harness.pass()
    try records.commit([.remove(id: "p7"), .update(id: "p8", ["dis": .string("x")])])
    try write()
    try harness.pass(final: true)
    #expect(try harness.digest(.source) == harness.digest(.destination))
    try harness.call(.destination, .activate)
    let client = try RecordStore(path: folder("client.db"))
    #expect(try client.count(Filter("clone")) == 99)
    // Half a file is no reason to remove anything.
    let whole = try Files.read(path)
    try Files.replace(path, with: Array(whole.prefix(whole.count / 2)))
    if ending != "trio" { #expect(failure { try harness.pass(final: true) } != nil) }
    #expect(try client.count(Filter("clone")) >= 49)
  }

  @Test("records whose ids others have at the client are an error where both ends must be equal")
  func conflicts() throws {
    try RecordStore(creating: folder("client.db"), project: "client").commit([.add(["id": .ref(HRef("p1")), "mine": .marker])])
    let harness = try harness(["filter": "point"])
    try harness.prepare()
    try harness.pass()
    let error = failure { try harness.pass(final: true) }
    #expect(error?.class == .conflict && error?.message.contains("@p1") == true)
    try harness.call(.destination, .discard)
    let client = try RecordStore(path: folder("client.db"))
    #expect(try client.count() == 1 && client.read("p1")?.tree["mine"] == .marker)
  }

  @Test("each pass says how the differences were found; history comes with the clones, or later by `ferry records sync-his`")
  func methodsAndHistory() throws {
    let server = try RecordStore(path: folder("server.db"))
    try server.commit((0..<3).map { .update(id: "p\($0)", ["his": .marker, "tz": .string("Rome")]) })
    func write(_ count: Int) throws {
      for point in 0..<3 {
        try server.writeHistory(
          "p:server:r:p\(point)", (0..<count).map { HistoryItem(nanoseconds: Int64($0) * 3_600_000_000_000, value: .bool(true)) })
      }
    }
    try write(10)
    let harness = try harness(["filter": "point", "history": true])
    try harness.prepare()
    #expect(try harness.pass().sent["method"] == "stream")
    try server.commit([.update(id: "p7", ["dis": .string("x")])])
    #expect(try harness.pass().sent["method"] == "cursor")
    #expect(try harness.pass(final: true).sent["method"] == "equal")
    try harness.call(.destination, .activate)
    try write(25)
    let tools = try RecordTools("sqlite:\(folder("client.db"))")
    // From the end, which is the tenth, that one included.
    #expect(try tools.syncHistory(from: "sqlite:\(folder("server.db"))", filter: "id == @p1").items == 16)
    let found = try tools.syncHistory(from: folder("server.db"), span: "1970-01-01")
    #expect(found.points == 3 && found.items == 3 * 23 && found.failures == [:])
    #expect(throws: FerryError.self) { try tools.syncHistory(from: folder("server.db"), span: "soon") }
    #expect(throws: FerryError.self) { try tools.syncHistory(from: folder("none.db")) }
  }
}
