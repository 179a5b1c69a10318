import FerrySystem
import Haystack
import TestSupport
import Testing

@testable import FerryRecords

@Suite struct ConvergenceTests {
  @Test(
    "after any edits, filter edits, clock steps, cut lines and restarts the client has exactly what matches, and all else is untouched",
    arguments: 0..<8
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
        switch Int.random(in: 0...4, using: &dice) {
        case 0 where isThere: try server.commit([.remove(id: "r\(number)")])
        case 4:
          // The server's clock is anywhere: what is changed later may have an earlier time.
          var record = Self.random(number, &dice)
          record["mod"] = .dateTime(HDateTime(nanoseconds: Int64.random(in: 0...3_000_000_000_000_000_000, using: &dice)))
          try server.commit([.put(PackedDict(record))])
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
}
