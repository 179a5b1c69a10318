import Ferry
import FerryRecords
import FerrySystem
import Haystack
import PluginHarness
import TestSupport
import Testing

/// Clones at a server that takes commits. It is one of our own, which does what Haxall's op does: no server that could be installed here has it.
@Suite struct ServerClientTests {
  let folder: TemporaryFolder
  let script: Script
  let url: String
  let server: RecordStore

  init() throws {
    folder = try TemporaryFolder()
    script = try Script("RecordCloneTests/commit.py", python: Script.haystackPython())
    url = "http://127.0.0.1:\(try script.line())/api"
    server = try RecordStore(creating: folder("server.db"), project: "server")
    try server.commit(
      (0..<1200).map {
        .add(["id": .ref(HRef("p\($0)")), "point": .marker, "n": .number(HNumber(Double($0), "kW")), "siteRef": .ref(HRef("s"))])
      })
  }

  func harness(_ keys: [String: JSONValue] = [:]) throws -> Harness {
    try Harness(
      product: "record-clone", provider: "record-clone", folder: folder, from: ["store": .string("sqlite:\(folder("server.db"))")],
      to: ["store": .string("haystack+\(url)")], keys: ["filter": "point"].merging(keys) { $1 })
  }

  func records(_ filter: String) throws -> [String: HDict] {
    var found: [String: HDict] = [:]
    try HaystackQuery(HaystackClient(url, user: nil, password: []), filter: filter).forEach { found[$0.tree.id?.id ?? ""] = $0.tree }
    return found
  }

  @Test("clones are committed to a server and kept in step there: each change is one commit, and nothing that is not of the set is touched")
  func commits() throws {
    try script.tell("add own")
    let harness = try harness()
    #expect(try harness.call(.destination, .check)["notices"]?.array?.isEmpty ?? true)
    try harness.prepare()
    try harness.pass()
    #expect(try records("clone").count == 1200)
    let clone = try #require(try records("id==@p7")["p7"])
    #expect(clone["siteRef"] == .ref(HRef("s")) && clone["n"] == .number(HNumber(7, "kW")) && clone["point"] == .marker)
    #expect(clone["clone"] == .marker && clone["cloneSetRef"] == .ref(HRef("clone-set-state")))
    guard case .dateTime(let mod)? = try server.read("p7")?.tree["mod"], case .dateTime(let cloned)? = clone["cloneMod"] else {
      throw FerryError(.internal, "there is no mod")
    }
    #expect(mod.nanoseconds == cloned.nanoseconds)
    #expect(try records("cloneSet")["clone-set-state"]?["cloneFilter"] == .string("point"))
    let before = Int(try script.tell("commits")) ?? 0
    try server.commit([
      .update(id: "p1", ["n": .remove, "dis": .string("One")]), .remove(id: "p2"), .add(["id": .ref(HRef("new")), "point": .marker]),
    ])
    try harness.pass(final: true)
    #expect(try harness.digest(.source) == harness.digest(.destination))
    #expect(Int(try script.tell("commits")) == before + 3)
    #expect(try records("id==@p1")["p1"]?["n"] == nil && records("id==@p1")["p1"]?["dis"] == .string("One"))
    #expect(try records("clone").count == 1200 && records("id==@own")["own"]?["dis"] == .string("Mine"))
    // A filter that is edited there takes effect, and somebody's edit of a clone is mended.
    try script.tell("set p3 dis spoilt")
    try harness.pass(final: true)
    #expect(try records("id==@p3")["p3"]?["dis"] == nil)
    #expect(try harness.digest(.source, full: true) == harness.digest(.destination, full: true))
    // In fresh processes the set goes with its clones, and nothing else does.
    try harness.call(.destination, .activate)
    harness.killBoth()
    try harness.call(.destination, .discard)
    try harness.call(.destination, .discard)
    #expect(try records("id").keys.sorted() == ["own"])
  }

  @Test("a commit that fails removes nothing and is made up for by the next pass; a loss of much needs somebody's word")
  func failures() throws {
    let harness = try harness()
    try harness.prepare()
    // The second of the three requests that add.
    try script.tell("fail 2")
    let error = failure { try harness.pass() }
    #expect(error?.message.contains("the disk is full") == true)
    #expect(try records("clone").count == 500)
    harness.killBoth()
    try harness.pass()
    #expect(try records("clone").count == 1200)
    try server.commit((0..<600).map { .remove(id: "p\($0)") })
    #expect(failure { try harness.pass() }?.message.contains("would lose 600 of its 1200") == true)
    #expect(failure { try harness.pass(final: true) }?.class == .precondition)
    #expect(try records("clone").count == 1200)
    let allowed = try self.harness(["allow-removals": true])
    try allowed.prepare()
    try allowed.pass(final: true)
    #expect(try records("clone").count == 600)
    #expect(try allowed.digest(.source) == allowed.digest(.destination))
  }

  @Test("a record that the server has of its own keeps its id, which is a warning, and an error where both ends must be equal")
  func conflicts() throws {
    try script.tell("add p5")
    let harness = try harness()
    try harness.prepare()
    try harness.pass()
    #expect(harness.log.contains("records of its own"))
    #expect(try records("clone").count == 1199 && records("id==@p5")["p5"]?["dis"] == .string("Mine"))
    let error = failure { try harness.pass(final: true) }
    #expect(error?.class == .conflict && error?.message.contains("@p5") == true)
    #expect(try records("id==@p5")["p5"]?["dis"] == .string("Mine"))
  }

  @Test("a server that takes no commits, and history for one, are told by check")
  func checks() throws {
    func errors(_ harness: Harness) throws -> [String] {
      try harness.call(.destination, .check)["notices"]?.array?.compactMap { $0["text"]?.string } ?? []
    }
    #expect(try errors(harness(["history": true])).first?.contains("history") == true)
    let plain = try Harness(
      product: "record-clone", provider: "record-clone", folder: folder, from: ["store": .string("sqlite:\(folder("server.db"))")],
      to: ["store": .string("haystack+\(url)/plain")], keys: ["filter": "point"])
    #expect(try errors(plain).first?.contains("takes no commits") == true)
  }
}
