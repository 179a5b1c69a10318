import FerryRecords
import FerrySystem
import Haystack
import TestSupport
import Testing

@Suite struct CloneTests {
  let pair: Pair

  init() throws {
    pair = try Pair()
    let server = try pair.server()
    try server.commit([
      .add(record("{id:@s1 site dis:\"One\" geoCity:\"Rome\" area:50ft²}")), .add(record("{id:@s2 site dis:\"Two\" geoCity:\"Oslo\"}")),
      .add(
        record(
          "{id:@e1 equip siteRef:@s1 curVal:5kW connStatus:\"ok\" refs:[@s2,@p:other:r:x] in:{to:@s1} ahu grid:<<\nver:\"3.0\" by:@s1\nref\n@s2\n>>}"
        )),
      .add(record("{id:@e2 equip siteRef:@s2}")), .add(record("{id:@gone site trash}")), .add(record("{id:@me ext site}")),
    ])
    try pair.client().commit([.add(record("{id:@own site dis:\"Mine\"}"))])
  }

  @Test("clones are the matching records, with relative references, persistent tags and the marks of a clone; nothing else is touched")
  func clones() throws {
    try pair.want("site or equip")
    let before = try pair.ownRecords()
    let outcome = try pair.sync()
    #expect(outcome.client.methods == [.stream])
    #expect(outcome.client.upserts == 4)
    let clone = try #require(try pair.client().read("e1")).tree
    let progenitor = try #require(try pair.server().read("e1")).tree
    #expect(clone["siteRef"] == .ref(HRef("p:client:r:s1")))
    #expect(clone["id"] == .ref(HRef("p:client:r:e1")))
    #expect(clone["refs"] == .list([.ref(HRef("p:client:r:s2")), .ref(HRef("p:other:r:x"))]))
    #expect(clone["in"] == .dict(["to": .ref(HRef("p:client:r:s1"))]))
    if case .grid(let grid)? = clone["grid"] {
      #expect(grid.meta["by"] == .ref(HRef("p:client:r:s1")))
      #expect(grid.rows.first?["ref"] == .ref(HRef("p:client:r:s2")))
    } else {
      Issue.record("the grid is gone")
    }
    #expect(clone["clone"] == .marker)
    #expect(clone["cloneSetRef"] == .ref(HRef(Pair.set)))
    #expect(clone["cloneMod"] == progenitor["mod"])
    #expect(clone["curVal"] == nil && clone["connStatus"] == nil)
    #expect(try pair.client().read("gone") == nil && pair.client().read("me") == nil)
    #expect(try pair.ownRecords() == before)
    #expect(try pair.sync().client.methods == [.equal])
    let state = try pair.client().cloneState(Pair.set)
    #expect(state.digest.count == 4 && state.server == "server" && state.lastSync != nil)
  }

  @Test("from a server whose references name no project they become the client's")
  func fromHaxall() throws {
    let pair = try Pair(server: "")
    try pair.server().commit([.add(record("{id:@abc-123 site ref:@x}"))])
    try pair.want("site", from: "n:node7")
    try pair.sync()
    #expect(try pair.client().read("p:client:r:abc-123")?.tree["ref"] == .ref(HRef("p:client:r:x")))
  }

  @Test("changes, arrivals and departures follow, and cost what they are worth")
  func changes() throws {
    try pair.want("site")
    let box = try ServerBox(pair.serverPath)
    try pair.sync(server: box)
    let server = try pair.server()
    try server.commit([.update(id: "s1", ["geoCity": .string("Paris")]), .add(record("{id:@s3 site}")), .remove(id: "s2")])
    let outcome = try pair.sync(server: box)
    #expect(outcome.client.methods == [.cursor])
    #expect(outcome.client.upserts == 2 && outcome.client.removals == 1)
    #expect(try pair.clones() == pair.expected("site and not trash and not ext"))
    // A record that stops matching, and one that gets into the trash, go.
    try server.commit([.update(id: "s1", ["site": .remove]), .update(id: "s3", ["trash": .marker])])
    try pair.sync(server: box)
    #expect(try pair.clones() == [])
    // By a server that was started anew, the same.
    try server.commit([.update(id: "s1", ["site": .marker])])
    #expect(try pair.sync().client.methods == [.stream])
    try server.commit([.update(id: "s1", ["dis": .string("Uno")])])
    #expect(try pair.sync().client.methods == [.cursor])
    #expect(try pair.clones() == pair.expected("site and not trash and not ext"))
  }

  @Test("an edit of another record that changes a match is noticed", arguments: [true, false])
  func otherRecords(_ lives: Bool) throws {
    try pair.want("equip and siteRef->geoCity == \"Rome\"")
    let box = try lives ? ServerBox(pair.serverPath) : nil
    try pair.sync(server: box)
    #expect(try pair.clones() == pair.expected("id == @e1"))
    try pair.server().commit([.update(id: "s1", ["geoCity": .string("Oslo")]), .update(id: "s2", ["geoCity": .string("Rome")])])
    try pair.sync(allowsRemovals: true, server: box)
    #expect(try pair.clones() == pair.expected("id == @e2"))
    try pair.server().commit([.remove(id: "s2")])
    try pair.sync(allowsRemovals: true, server: box)
    #expect(try pair.clones() == [])
    try pair.server().commit([.add(record("{id:@s2 site geoCity:\"Rome\"}"))])
    try pair.sync(server: box)
    #expect(try pair.clones() == pair.expected("id == @e2"))
  }

  @Test("an edited filter takes effect, and takes away what it no longer matches")
  func filterEdited() throws {
    try pair.server().commit((0..<50).map { .add(try record("{id:@p\($0) point n:\($0)}")) })
    try pair.want("point")
    try pair.sync()
    try pair.want("point and n < 10 or site")
    let outcome = try pair.sync()
    #expect(outcome.client.methods != [.equal])
    #expect(try pair.clones() == pair.expected("(point and n < 10 or site) and not ext and not trash"))
  }

  @Test("a clone cannot be edited, also not past Ferry; its history can, and all can while cloning is off")
  func protected() throws {
    try pair.want("site")
    try pair.sync()
    let client = try pair.client()
    for edit: RecordStore.Edit in [
      .update(id: "s1", ["dis": .string("x")]), .remove(id: "s1"), .put(PackedDict(try record("{id:@s1 site}"))),
    ] {
      #expect(throws: FerryError.self) { try client.commit([edit]) }
    }
    for sql in [
      "UPDATE records SET mod = 1 WHERE id = 'p:client:r:s1'", "DELETE FROM records WHERE id = 'p:client:r:s1'",
      "UPDATE records SET clone_set = NULL", "INSERT INTO records VALUES(99, 'x', 1, 1, 'y', 1, x'')",
    ] {
      let outcome = try Command(["sqlite3", pair.clientPath, sql]).run()
      #expect(!outcome.succeeded && outcome.errors.contains("clone"), "\(sql)")
    }
    try client.writeHistory("p:client:r:s1", [HistoryItem(nanoseconds: 1, value: .bool(true))])
    #expect(try client.historyEnd("p:client:r:s1") == 1)
    try client.setCloning(false)
    try client.commit([.update(id: "s1", ["dis": .string("spoilt")]), .remove(id: "s2")])
    #expect(throws: FerryError.self) { try pair.sync() }
    try client.setCloning(true)
    // What was done meanwhile is mended.
    try pair.sync()
    #expect(try pair.clones() == pair.expected("site and not trash and not ext"))
    #expect(try client.historyEnd("p:client:r:s1") == 1)
  }

  @Test("without their clone set clones are orphans, which can be read and removed")
  func orphans() throws {
    try pair.want("site")
    try pair.sync()
    let client = try pair.client()
    try client.commit([.remove(id: Pair.set)])
    var orphans: [String] = []
    try client.orphans {
      orphans.append($0.tree.id?.id ?? "")
      return true
    }
    #expect(orphans == ["p:client:r:s1", "p:client:r:s2"])
    #expect(throws: FerryError.self) { try client.commit([.remove(id: "s1")]) }
    #expect(throws: FerryError.self) { try pair.sync() }
    #expect(try client.removeOrphans() == 2)
    #expect(try client.count() == 1)
    #expect(try client.removeOrphans() == 0)
  }

  @Test(
    "where two sets overlap, or the client has such a record, the owner keeps it, a warning says so, and nothing is sent again and again")
  func overlaps() throws {
    let second = "p:client:r:second"
    try pair.server().commit([.add(record("{id:@own site dis:\"Theirs\"}"))])
    let mine = try pair.client().read("own")
    try pair.want("site and geoCity")
    try pair.want("site", set: second)
    try pair.sync()
    let outcome = try pair.sync(set: second)
    #expect(outcome.warnings.count == 1 && outcome.warnings[0].contains("@own") && outcome.warnings[0].contains("@s1"))
    #expect(try pair.client().passedOver(second) == ["own", "s1", "s2"])
    #expect(try pair.client().cloneState(second).flags == ["overlaps"])
    #expect(try pair.client().read("own") == mine)
    for _ in 0..<2 {
      #expect(try pair.sync().client.methods == [.equal])
      #expect(try pair.sync(set: second).client.methods == [.equal])
    }
    // Once the owner lets go, the other set takes over.
    try pair.client().removeCloneSet(Pair.set)
    try pair.client().commit([.remove(id: "own")])
    try pair.sync(set: second)
    #expect(try pair.clones(set: second) == pair.expected("site and not trash and not ext"))
    #expect(try pair.client().cloneState(second).flags == [])
  }

  @Test("beyond the limit the first by id are kept in step, and a flag shows")
  func overMax() throws {
    try pair.server().commit((10..<40).map { .add(try record("{id:@p\($0) point}")) })
    try pair.want("point")
    var tuning = CloneClient.Tuning()
    tuning.maxRecords = 20
    try pair.sync(tuning: tuning)
    #expect(try pair.clones() == pair.expected("point", limit: 20))
    #expect(try pair.client().cloneState(Pair.set).flags == [])
    try pair.sync(tuning: tuning)
    #expect(try pair.client().cloneState(Pair.set).flags == ["overMax"])
    try pair.server().commit([.update(id: "p12", ["dis": .string("x")]), .remove(id: "p11")])
    try pair.sync(tuning: tuning)
    #expect(try pair.clones() == pair.expected("point", limit: 20))
  }

  @Test("a set that would lose much at once loses nothing without somebody's word")
  func massRemoval() throws {
    try pair.server().commit((0..<100).map { .add(try record("{id:@p\($0) point}")) })
    try pair.want("point")
    try pair.sync()
    try pair.server().commit((0..<60).map { .remove(id: "p\($0)") } + [.update(id: "p99", ["dis": .string("x")])])
    let error = #expect(throws: FerryError.self) { try pair.sync() }
    #expect(error?.code == "mass-removal" && error?.message.contains("60 of its 100") == true)
    #expect(try pair.clones().count == 100)
    try pair.sync(allowsRemovals: true)
    #expect(try pair.clones() == pair.expected("point"))
  }

  @Test(
    "a project that does not enable cloning serves nobody; an isolated one serves and does not clone; another project than was meant is refused"
  )
  func refused() throws {
    try pair.want("site")
    try pair.server().setCloning(false)
    #expect(throws: FerryError.self) { try pair.sync() }
    try pair.server().setCloning(true)
    try pair.server().setIsolated(true)
    try pair.sync()
    try pair.client().setIsolated(true)
    let error = #expect(throws: FerryError.self) { try pair.sync() }
    #expect(error?.message.contains("isolated") == true)
    try pair.client().setIsolated(false)
    try pair.want("site", from: "elsewhere")
    #expect(throws: FerryError.self) { try pair.sync() }
    #expect(try pair.clones().count == 2)
  }

  @Test("clones are not cloned again, and a progenitor's own clone tags do not travel")
  func noLoops() throws {
    try pair.want("site")
    try pair.sync()
    let third = try Pair(server: "client", client: "third")
    try Files.remove(third.serverPath)
    _ = try Command(["sqlite3", pair.clientPath, "VACUUM INTO '\(third.serverPath)'"]).run()
    try third.client().put(CloneSet(id: "p:third:r:set", server: "client", filter: "site"))
    try third.sync(set: "p:third:r:set")
    #expect(try third.client().count(Filter("site")) == 1)
    #expect(try third.client().read("own") != nil)
  }

  @Test("history comes from where it ends here; the last moment is asked for again; one point's failure does not keep the others")
  func history() throws {
    let server = try pair.server()
    try server.commit([
      .add(record("{id:@p1 point his tz:\"Rome\"}")), .add(record("{id:@p2 point his tz:\"Oslo\"}")), .add(record("{id:@p3 point}")),
    ])
    let items = (0..<1000).map { HistoryItem(nanoseconds: Int64($0) * 1_000_000_000, value: .number(HNumber(Double($0), "kW"))) }
    try server.writeHistory("p:server:r:p1", items)
    try pair.want("point")
    var outcome = try pair.sync(history: true)
    #expect(outcome.client.history?.items == 1000 && outcome.client.history?.points == 2 && outcome.client.history?.failures == [:])
    var mended = items[999]
    mended.value = .na
    try server.writeHistory("p:server:r:p1", [mended, HistoryItem(nanoseconds: 2_000_000_000_000, value: .bool(true))])
    try server.commit([.update(id: "p2", ["tz": .string("Paris")])])
    try server.writeHistory("p:server:r:p2", [mended])
    outcome = try pair.sync(history: true)
    #expect(outcome.client.history?.items == 3)
    let client = try pair.client()
    var read: [HistoryItem] = []
    try client.forEachHistory("p:client:r:p1") {
      read.append($0)
      return true
    }
    #expect(read.count == 1001 && read[999] == mended && Array(read.prefix(999)) == Array(items.prefix(999)))
    // A clone whose zone is not its progenitor's gets nothing.
    try server.commit([.update(id: "p1", ["tz": .string("Berlin")])])
    try client.setCloning(false)
    try client.setCloning(true)
    outcome = try pair.sync(history: true)
    #expect(outcome.client.history?.failures == [:])
  }
}
