import FerryRecords
import FerrySystem
import Haystack
import TestSupport
import Testing

@Suite struct HaystackServerTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test(
    "the records of a server of others are cloned after a login, and followed; a wrong password is told from a server that is not there")
  func others() throws {
    let server = try RustyServer(300)
    let client = server.client()
    let mirror = try Mirror(folder("mirror.db"), isFiltered: true)
    let query = HaystackQuery(client, filter: "site and area < 200ft²")
    #expect(try mirror.refresh(query).changed == 200)
    #expect(try mirror.store.read("s7")?.tree["dis"] == .string("Site 7"))
    // What did not change is not new, though this server gives no `mod`; nor is what lives in memory only.
    try server.tell("set s9 curVal 7")
    #expect(try mirror.refresh(query).changed == 0)
    try server.tell("set s7 dis Changed")
    try server.tell("remove s8")
    #expect(try mirror.refresh(query) == .init(read: 199, changed: 1, removed: 1))
    #expect(try mirror.store.read("s7")?.tree["dis"] == .string("Changed"))
    let wrong = #expect(throws: FerryError.self) {
      try HaystackClient(server.url, user: "admin", password: Array("other".utf8)).about()
    }
    #expect(wrong?.class == .auth && wrong?.message.contains("other") == false)
    let stranger = #expect(throws: FerryError.self) { try HaystackClient(server.url, user: nil, password: []).about() }
    #expect(stranger?.class == .auth)
    let nobody = #expect(throws: FerryError.self) { try HaystackClient("http://127.0.0.1:1/api", user: nil, password: []).about() }
    #expect(nobody?.class == .retry)
  }

  @Test("a server that answers badly removes nothing")
  func badAnswers() throws {
    let script = try Script("RecordsTests/bad.py")
    let base = "http://127.0.0.1:\(try script.line())"
    let mirror = try Mirror(folder("mirror.db"))
    func read(_ way: String) throws -> Mirror.Report {
      try mirror.refresh(HaystackQuery(HaystackClient("\(base)/\(way)", user: nil, password: []), filter: "site"))
    }
    #expect(try read("whole").read == 50)
    for (way, reason) in [
      ("err", "the server says: no such filter"), ("incomplete", "incomplete"), ("half", ""), ("cut", "did not answer to the end"),
      ("kinds", "without an id"), ("twice", "two records"), ("nothing", "expected"), ("html", "expected"), ("large", "longer than"),
      ("status", "answered 500"),
    ] {
      let error = #expect(throws: FerryError.self, "\(way)") { try read(way) }
      #expect(error?.message.contains(reason) == true, "\(way): \(error?.message ?? "")")
      #expect(try mirror.store.count() == 50, "\(way)")
    }
    #expect(try read("whole") == .init(read: 50, changed: 0, removed: 0))
  }

  @Test("what a first reading reads goes on to the client while it is read; one that ends badly proves nothing, and the next makes it good")
  func firstReading() throws {
    let script = try Script("RecordsTests/bad.py")
    let base = "http://127.0.0.1:\(try script.line())"
    let pair = try Pair(server: "")
    try pair.client().commit([.add(record("{id:@own dis:\"Mine\"}"))])
    try pair.want("dis")
    let mirror = try Mirror(pair.folder("mirror.db"), isFiltered: true)
    func sync(_ way: String) throws -> Pair.Outcome {
      let source = HaystackClient("\(base)/\(way)", user: nil, password: [])
      let box = ServerBox(try CloneServer(mirror.store, isWhole: true)) { filter, onward in
        try mirror.refresh(HaystackQuery(source, filter: filter), onward: onward)
      }
      return try pair.sync(server: box)
    }
    for way in ["manycut", "manytwice", "incomplete", "err", "html"] {
      let error = #expect(throws: FerryError.self, "\(way)") { try sync(way) }
      #expect(error?.class == .peer || error?.class == .invalid, "\(way): \(error.map(String.init(describing:)) ?? "")")
      #expect(try mirror.store.count() == 0, "\(way)")
      #expect(try pair.ownRecords().count == 2, "\(way)")
    }
    let first = try sync("many")
    #expect(first.server.methods == [.stream] || first.client.upserts == 5000)
    #expect(try pair.clones().count == 5000 && mirror.store.count() == 5000)
    #expect(try sync("many").client.methods == [.equal])
    // From here on the mirror compares: what changed comes, and what is no longer there goes only after a whole answer.
    #expect(throws: FerryError.self) { try sync("cut") }
    #expect(try pair.clones().count == 5000)
    #expect(try pair.client().read("own")?.tree["dis"] == .string("Mine"))
  }
}
