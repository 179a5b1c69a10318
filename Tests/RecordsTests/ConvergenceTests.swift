import FerrySystem
import Haystack
import TestSupport
import Testing

@testable import FerryRecords

/// A generator that can be made again.
struct Dice: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &* 0x2545_f491_4f6c_dd1d &+ 1 }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }
}

@Suite struct ConvergenceTests {
  @Test(
    "after any edits, filter edits, cut lines and restarts the client has exactly what matches, and all else is untouched", arguments: 0..<8
  )
  func converges(_ seed: UInt64) throws {
    var dice = Dice(seed)
    let pair = try Pair()
    let server = try pair.server()
    let filters = [
      "site", "site or equip", "equip and siteRef->geoCity == \"c1\"", "n < 5", "not equip", "siteRef->area or site",
      "siteRef->next->n > 3",
    ]
    try pair.client().commit([.add(record("{id:@own x}")), .add(record("{id:@r3 mine}"))])
    try server.commit((0..<60).map { .add(Self.random($0, &dice)) })
    var filter = filters.randomElement(using: &dice) ?? "site"
    try pair.want(filter)
    var box: ServerBox?
    for _ in 0..<12 {
      for _ in 0..<Int.random(in: 0...8, using: &dice) {
        let number = Int.random(in: 0..<80, using: &dice)
        let isThere = try server.read("r\(number)") != nil
        switch Int.random(in: 0...3, using: &dice) {
        case 0 where isThere: try server.commit([.remove(id: "r\(number)")])
        case 1...3 where isThere:
          var changes = Self.random(number, &dice)
          for name in ["site", "equip", "siteRef", "geoCity", "n"] where changes[name] == nil { changes[name] = .remove }
          try server.commit([.update(id: "r\(number)", changes)])
        default: if !isThere { try server.commit([.add(Self.random(number, &dice))]) }
        }
      }
      switch Int.random(in: 0...5, using: &dice) {
      case 0:
        filter = filters.randomElement(using: &dice) ?? filter
        try pair.want(filter)
      case 1: box = nil
      case 2: box = try ServerBox(pair.serverPath)
      case 3:
        let client = try pair.client()
        try client.setCloning(false)
        if let victim = try pair.clones().isEmpty ? nil : "r\(Int.random(in: 0..<80, using: &dice))",
          try client.read(victim)?.tree["clone"] != nil
        {
          try client.commit([Bool.random(using: &dice) ? .remove(id: victim) : .update(id: victim, ["dis": .string("spoilt")])])
        }
        try client.setCloning(true)
      default: break
      }
      if Bool.random(using: &dice) {
        // The line is cut somewhere; what came before that stands.
        _ = try? pair.sync(allowsRemovals: true, server: box, cutAfter: Int.random(in: 0...6000, using: &dice))
        box = Bool.random(using: &dice) ? box : nil
      }
      let outcome = try pair.sync(allowsRemovals: true, server: box)
      let expected = try pair.expected(filter).filter { !$0.hasPrefix("{") || !$0.contains("id:@r3 ") && !$0.contains("id:@r3}") }
      #expect(try pair.clones() == expected, "seed \(seed), \(filter), \(outcome.client.methods)")
      #expect(try pair.client().read("r3")?.tree["mine"] == .marker)
      #expect(try pair.sync(server: box).client.methods == [.equal])
    }
    #expect(try pair.ownRecords().count == 3)
  }

  static func random(_ number: Int, _ dice: inout Dice) -> HDict {
    var record: HDict = ["id": .ref(HRef("r\(number)"))]
    if Bool.random(using: &dice) { record["site"] = .marker }
    if Bool.random(using: &dice) { record["equip"] = .marker }
    if Bool.random(using: &dice) { record["siteRef"] = .ref(HRef("r\(Int.random(in: 0..<80, using: &dice))")) }
    if Bool.random(using: &dice) { record["next"] = .ref(HRef("r\(Int.random(in: 0..<80, using: &dice))")) }
    if Bool.random(using: &dice) { record["geoCity"] = .string("c\(Int.random(in: 0...2, using: &dice))") }
    if Bool.random(using: &dice) { record["area"] = .number(HNumber(1)) }
    if Bool.random(using: &dice) { record["n"] = .number(HNumber(Double(Int.random(in: 0...9, using: &dice)))) }
    return record
  }

  @Test("the traffic is that of the differences, not of the set: 200 bytes without any, 1 kB for one, 80 kB and 2 questions for a thousand")
  func traffic() throws {
    let pair = try Pair()
    let server = try pair.server()
    let count = 10_000
    try server.commit((0..<count).map { .add(["id": .ref(HRef("p\($0)")), "point": .marker, "n": .number(HNumber(Double($0)))]) })
    try pair.want("point")
    try pair.sync()
    func again() throws -> (report: CloneClient.Report, bytes: Int64) {
      let report = try pair.sync().client
      return (report, report.sent + report.received)
    }
    func change(_ numbers: some Sequence<Int>, _ value: Double) throws {
      try server.commit(numbers.map { .update(id: "p\($0)", ["n": .number(HNumber(value))]) })
    }
    func forgetPlace() throws { _ = try Command(["sqlite3", pair.clientPath, "UPDATE clone_sets SET epoch = 0"]).run() }
    var (report, bytes) = try again()
    #expect(report.methods == [.equal] && bytes <= 200, "\(bytes)")
    // One change, by the log, and where the log cannot help.
    try change([7], -1)
    (report, bytes) = try again()
    #expect(report.methods == [.cursor] && bytes <= 1000, "\(bytes)")
    try change([8], -1)
    try forgetPlace()
    (report, bytes) = try again()
    #expect(report.methods == [.difference] && report.questions == 1 && report.upserts == 1 && bytes <= 1200, "\(bytes)")
    // A thousand: both keys of each differ, the old and the new. What the records themselves weigh is another matter.
    try change((0..<1000).map { $0 * 9 + 5 }, -2)
    try forgetPlace()
    (report, bytes) = try again()
    #expect(report.methods == [.difference] && report.upserts == 1000)
    #expect(report.questions <= 2 && bytes - report.content <= 80_000, "\(report.questions) questions, \(bytes - report.content) bytes")
    // Most of them: the keys of all cost less.
    try change(0..<7_500, -3)
    try forgetPlace()
    (report, bytes) = try again()
    #expect(report.methods == [.manifest] && bytes - report.content < Int64(count + 7_500) * 8 + 2000, "\(bytes - report.content)")
    #expect(try pair.clones() == pair.expected("point"))
  }

  @Test("differences of any size are read out of some 1.4 cells for each, and two questions are nearly always enough")
  func estimates() throws {
    // Keys are hashes: numbers that lie evenly would stray less than chance does.
    var dice = Dice(6)
    var more = 0
    func keys(_ count: Int) -> [UInt64] { (0..<count).map { _ in dice.next() | 1 } }
    for size in [1, 2, 5, 20, 100, 500, 2000, 2000, 2000, 5000] {
      let (common, ours, theirs) = (keys(10_000), keys(size / 2 + size % 2), keys(size / 2))
      var (left, right) = (RatelessEncoder(common + ours), RatelessEncoder(common + theirs))
      var decoder = RatelessDecoder()
      var questions = 0
      while !decoder.isComplete, questions < 6 {
        let count = max(32, questions == 0 ? 32 : decoder.estimate - left.produced)
        decoder.add(left.next(count), right.next(count))
        questions += 1
      }
      #expect(decoder.ours == Set(ours) && decoder.theirs == Set(theirs))
      #expect(left.produced <= 4 * size + 200, "\(size): \(left.produced)")
      if questions > 2 { more += 1 }
    }
    #expect(more <= 1)
  }
}
