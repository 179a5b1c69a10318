import FerrySystem
import Haystack
import TestSupport
import Testing

@testable import FerryRecords

/// Sentences of the original's page that no other suite has.
@Suite struct PageTests {
  @Test("the digest is the sum of SHA-1 over `relId SP mod LF`, moments in UTC to the nanosecond, in any order")
  func digest() {
    let rows: [(String, Int64)] = [
      ("a", 1_767_323_045_000_000_006), ("p:other:r:b-1", -1), ("c", 0), ("d", 1_795_293_059_123_456_789),
    ]
    let hasher = RecordHasher()
    func hash(_ row: (String, Int64)) -> RecordHash { Array(row.0.utf8).withUnsafeBytes { hasher.hash($0, mod: row.1) } }
    var digest = SetDigest()
    for row in rows.reversed() { digest.add(hash(row)) }
    // By Python's hashlib, each hash taken as a number whose lowest byte comes first.
    #expect(digest.hex == "00000000000000000000000252e35b0b2abb38b55f18df27c3749d9e85257286" && digest.count == 4)
    for row in rows.dropFirst() { digest.remove(hash(row)) }
    #expect(digest.hex == "0000000000000000000000001e325b1750734e18442226cbd4e449a714037135" && digest.count == 1)
  }

  @Test("records of different projects that share an id overlap as well: the first stays, a warning says so, and nothing is sent again")
  func differentProjects() throws {
    let pair = try Pair()
    let other = try RecordStore(creating: pair.folder("other.db"), project: "other")
    try pair.server().commit([.add(record("{id:@x site dis:\"server's\"}"))])
    try other.commit([.add(record("{id:@x site dis:\"other's\"}")), .add(record("{id:@y site}"))])
    let second = "p:client:r:second"
    try pair.want("site")
    try pair.want("site", from: "other", set: second)
    try pair.sync()
    let box = try ServerBox(other.path)
    let outcome = try pair.sync(set: second, server: box)
    #expect(outcome.warnings.count == 1 && outcome.warnings[0].contains("@x"))
    #expect(try pair.client().read("x")?.tree["dis"] == .string("server's"))
    #expect(try pair.client().read("y") != nil)
    #expect(try pair.client().cloneState(second).flags == ["overlaps"])
    for _ in 0..<2 {
      #expect(try pair.sync().client.methods == [.equal])
      #expect(try pair.sync(set: second, server: box).client.methods == [.equal])
    }
  }

  @Test("what changes often is pushed no more often than updateFreq, and the last of it comes")
  func throttle() throws {
    let pair = try Pair()
    let server = try pair.server()
    try server.commit([.add(record("{id:@p point n:-1}"))])
    try pair.want("point")
    var tuning = CloneClient.Tuning()
    tuning.updateFreq = .seconds(1)
    let began = ContinuousClock.now
    let report = try pair.live(tuning: tuning) {
      try waitFor("the clone") { try pair.client().read("p") != nil }
      for number in 0..<40 {
        try server.commit([.update(id: "p", ["n": .number(HNumber(Double(number)))])])
        _ = Signal().wait(atMost: .milliseconds(20))
      }
      try waitFor("the last change") { try pair.client().read("p")?.tree["n"] == .number(HNumber(39)) }
    }
    let seconds = Int(began.duration(to: .now).inSeconds)
    #expect(report.methods.filter { $0 == .push }.count <= seconds + 2)
    #expect(report.upserts < 40)
  }

  @Test("records that are clones already, sets, and a project's own innards are never cloned, whatever the filter")
  func never() throws {
    let pair = try Pair()
    try pair.server().commit([
      .add(record("{id:@a x}")), .add(record("{id:@b x cloneSet cloneProj:\"q\" cloneFilter:\"x\"}")), .add(record("{id:@c x projMeta}")),
      .add(record("{id:@d x uiMeta}")), .add(record("{id:@e x ext}")), .add(record("{id:@f x trash}")),
    ])
    try pair.want("x")
    try pair.sync()
    #expect(try pair.clones().count == 1)
  }
}
