import FerryRecords
import FerrySystem
import Haystack
import TestSupport
import Testing

/// Both ends stay: subscriptions are rare, and changes are pushed.
@Suite struct SubscriptionTests {
  let pair: Pair

  init() throws {
    pair = try Pair()
    try pair.server().commit((0..<20).map { .add(try record("{id:@p\($0) point}")) })
    try pair.want("point")
  }

  private func name(_ id: String) throws -> HValue? { try pair.client().read(id)?.tree["dis"] }

  private func lastSub() throws -> Int64 { try pair.client().cloneState(Pair.set).lastSub ?? 0 }

  private func change(_ id: String, _ name: String) throws {
    try pair.server().commit([.update(id: id, ["dis": .string(name)])])
    try waitFor("the change of \(id)") { try self.name(id) == .string(name) }
  }

  private func tuning(_ change: (inout CloneClient.Tuning) -> Void = { _ in }) -> CloneClient.Tuning {
    var tuning = CloneClient.Tuning()
    tuning.updateFreq = .milliseconds(50)
    change(&tuning)
    return tuning
  }

  @Test("a line that comes back soon costs no subscription, and what changed meanwhile is pushed all the same")
  func comesBack() throws {
    let box = try ServerBox(pair.serverPath)
    let first = try pair.live(tuning: tuning(), server: box) {
      try waitFor("the clones") { try pair.clones().count == 20 }
      try change("p1", "a")
    }
    #expect(first.methods == [.stream, .push])
    let last = try lastSub()
    try pair.server().commit([.update(id: "p2", ["dis": .string("meanwhile")])])
    let report = try pair.live(tuning: tuning(), server: box) {
      try waitFor("what was missed") { try name("p2") == .string("meanwhile") }
      try change("p1", "b")
    }
    #expect(Set(report.methods) == [.push])
    #expect(try lastSub() == last)
  }

  @Test("a server that was started anew, and does not know what the client has, makes it ask")
  func newServer() throws {
    try pair.live(tuning: tuning()) { try change("p1", "a") }
    try pair.server().commit([.update(id: "p2", ["dis": .string("meanwhile")])])
    let report = try pair.live(tuning: tuning()) { try waitFor("what was missed") { try name("p2") == .string("meanwhile") } }
    #expect(report.methods.first == .cursor)
  }

  @Test("with an old subscription a line that comes back is a reason for a new one, unless that is switched off")
  func onUp() throws {
    let box = try ServerBox(pair.serverPath)
    try pair.live(tuning: tuning(), server: box) { try change("p1", "a") }
    var last = try lastSub()
    try pair.live(tuning: tuning { $0.subMinTime = .zero }, server: box) { try change("p1", "b") }
    #expect(try lastSub() > last)
    last = try lastSub()
    let quiet = tuning {
      $0.subMinTime = .zero
      $0.subOnUp = false
    }
    try pair.live(tuning: quiet, server: box) { try change("p1", "c") }
    #expect(try lastSub() == last)
  }

  @Test("in the steady state the only exchange is a subscription now and then")
  func steady() throws {
    let box = try ServerBox(pair.serverPath)
    try pair.live(tuning: tuning(), server: box) { try change("p1", "a") }
    let often = tuning { $0.subMaxTime = .milliseconds(200) }
    let before = try lastSub()
    let report = try pair.live(tuning: often, server: box) {
      for _ in 0..<3 {
        let last = try lastSub()
        try waitFor("a subscription") { try lastSub() > last }
      }
    }
    #expect(Set(report.methods) == [.equal] && report.methods.count >= 3)
    #expect(report.sent + report.received < 200 + 90 * Int64(report.methods.count + 1))
    #expect(try lastSub() > before)
  }

  @Test("a clock that was set back makes the last subscription old, and nothing else")
  func clock() throws {
    let box = try ServerBox(pair.serverPath)
    try pair.live(tuning: tuning(), server: box) { try change("p1", "a") }
    _ = try Command(["sqlite3", pair.clientPath, "UPDATE clone_sets SET last_sub = last_sub + 86400000000000"]).run()
    let ahead = try lastSub()
    try pair.live(tuning: tuning(), server: box) { try change("p1", "b") }
    #expect(try lastSub() < ahead)
    #expect(try pair.clones() == pair.expected("point"))
  }

  @Test("a filter that is edited while both ends stay takes effect at once")
  func filter() throws {
    try pair.live(tuning: tuning()) {
      try waitFor("the clones") { try pair.clones().count == 20 }
      try pair.want("id == @p3")
      try waitFor("the new filter") { try pair.clones().count == 1 }
    }
    #expect(try pair.clones() == pair.expected("id == @p3"))
  }
}
