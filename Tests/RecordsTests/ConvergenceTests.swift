import FerryRecords
import FerrySystem
import Haystack
import TestSupport
import Testing

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

  @Test("the traffic is that of the differences, not of the set")
  func traffic() throws {
    let pair = try Pair()
    let server = try pair.server()
    try server.commit((0..<6_000).map { .add(try record("{id:@p\($0) point kind:\"Number\" unit:\"kW\" n:\($0)}")) })
    try pair.want("point")
    try pair.sync()
    func again(_ box: ServerBox? = nil) throws -> (CloneClient.Report, Int64) {
      let report = try pair.sync(server: box).client
      return (report, report.sent + report.received)
    }
    var (report, bytes) = try again()
    #expect(report.methods == [.equal] && bytes < 600)
    // One change, by the log; and the same where the log cannot help.
    try server.commit([.update(id: "p7", ["n": .number(HNumber(-1))])])
    (report, bytes) = try again()
    #expect(report.methods == [.cursor] && bytes < 1000)
    _ = try Command(["sqlite3", pair.clientPath, "UPDATE clone_sets SET epoch = 0"]).run()
    try server.commit((0..<200).map { .update(id: "p\($0 * 29)", ["n": .number(HNumber(-2))]) })
    (report, bytes) = try again()
    #expect(report.methods == [.difference])
    #expect(report.upserts == 200)
    // 400 keys differ: the old and the new of each. Records are some 100 bytes.
    #expect(bytes < 200 * 120 + 400 * 18 * 2 + 1500, "\(bytes)")
    _ = try Command(["sqlite3", pair.clientPath, "UPDATE clone_sets SET epoch = 0"]).run()
    try server.commit((0..<5_000).map { .update(id: "p\($0)", ["n": .number(HNumber(-3))]) })
    (report, bytes) = try again()
    #expect(report.methods == [.manifest])
    #expect(try pair.clones() == pair.expected("point"))
  }
}
