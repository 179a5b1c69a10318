import Ferry
import FerryRecords
import FerrySystem
import Haystack
import PluginHarness
import TestSupport
import Testing

/// The ends are processes, and may be gone at any moment.
@Suite struct KillTests {
  static let filter = "point and n < 7 or siteRef->n < 3"

  static func random(_ number: Int, _ dice: inout Dice) -> HDict {
    var record: HDict = [
      "id": .ref(HRef("r\(number)")), "n": .number(HNumber(Double(Int.random(in: 0...9, using: &dice)))),
      "siteRef": .ref(HRef("r\(Int.random(in: 0..<10, using: &dice))")), "dis": .string("\(dice.next())"),
    ]
    if Bool.random(using: &dice) { record["point"] = .marker }
    return record
  }

  /// Relative ids and what tells one version of a record from another.
  static func names(_ store: RecordStore, _ filter: String) throws -> [String: HValue?] {
    var names: [String: HValue?] = [:]
    try store.forEach(Filter(filter)) {
      let record = $0.tree
      names[record.id?.id.split(separator: ":").last.map(String.init) ?? ""] = record["dis"]
      return true
    }
    return names
  }

  @Test(
    "whichever end is killed, and wherever in a pass, fresh processes go on from there: the client has exactly what matches, and all else is untouched",
    arguments: 0..<3 as Range<UInt64>)
  func killed(_ seed: UInt64) throws {
    var dice = Dice(seed)
    let folder = try TemporaryFolder()
    let server = try RecordStore(creating: folder("server.db"), project: "server")
    let client = try RecordStore(creating: folder("client.db"), project: "client")
    try client.commit([.add(["id": .ref(HRef("own")), "mine": .marker])])
    try server.commit((0..<1500).map { .add(Self.random($0, &dice)) })
    let harness = try Harness(
      product: "record-clone", provider: "record-clone", folder: folder, from: ["store": .string("sqlite:\(server.path)")],
      to: ["store": .string("sqlite:\(client.path)")], keys: ["filter": .string(Self.filter), "allow-removals": true])
    try harness.prepare()
    var kills = 0
    for round in 0..<5 {
      if round > 0 {
        try server.commit(
          (0..<150).map { _ in
            var record = Self.random(Int.random(in: 0..<1600, using: &dice), &dice)
            record["mod"] = .dateTime(HDateTime(nanoseconds: Int64(dice.next() >> 2)))
            return .put(PackedDict(record))
          })
        let victims = Set((0..<5).map { _ in Int.random(in: 10..<1500, using: &dice) })
        for victim in victims where try server.read("r\(victim)") != nil { try server.commit([.remove(id: "r\(victim)")]) }
      }
      let sides = [[Side.source], [.destination], [.source, .destination]].randomElement(using: &dice) ?? []
      // Of the first pass's 100 kB or more, or of a later one's 10.
      let relay = TestRelay(after: Int.random(in: 1...(round == 0 ? 100_000 : 8000), using: &dice)) {
        for side in sides { harness.kill(side) }
      }
      let error = failure { try harness.pass(through: relay) }
      if relay.isDone, error != nil { kills += 1 }
      try harness.pass()
      #expect(try Self.names(client, "clone") == Self.names(server, Self.filter), "seed \(seed), round \(round)")
      #expect(try client.read("own")?.tree["mine"] == .marker && client.count(Filter("not clone")) == 2)
    }
    #expect(kills >= 3)
    try harness.pass(final: true)
    #expect(try harness.digest(.source) == harness.digest(.destination))
  }
}
