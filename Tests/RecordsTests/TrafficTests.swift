import FerrySystem
import Haystack
import TestSupport
import Testing

@testable import FerryRecords

/// What it costs to find differences.
@Suite struct TrafficTests {
  @Test("the traffic is that of the differences, not of the set: 200 bytes without any, 1 kB for one, 80 kB and 2 questions for a thousand")
  func traffic() throws {
    let pair = try Pair()
    let server = try pair.server()
    let count = 10_000
    // Times of change that are the same in each run, and with them all keys: what chance decides about traffic is decided once and for all.
    func put(_ numbers: some Sequence<Int>, _ version: Int) throws {
      try server.commit(
        numbers.map {
          let mod = HDateTime(nanoseconds: 1_790_000_000_000_000_000 + Int64(version) * 3_600_000_000_000 + Int64($0) * 1_000_003)
          return .put(
            PackedDict(["id": .ref(HRef("p\($0)")), "point": .marker, "n": .number(HNumber(Double(version))), "mod": .dateTime(mod)]))
        })
    }
    try put(0..<count, 0)
    try pair.want("point")
    try pair.sync()
    func again() throws -> (report: CloneClient.Report, bytes: Int64) {
      let report = try pair.sync().client
      return (report, report.sent + report.received)
    }
    func forgetPlace() throws { _ = try Command(["sqlite3", pair.clientPath, "UPDATE clone_sets SET epoch = 0"]).run() }
    var (report, bytes) = try again()
    #expect(report.methods == [.equal] && bytes <= 200, "\(bytes)")
    // One change, by the log, and where the log cannot help.
    try put([7], 1)
    (report, bytes) = try again()
    #expect(report.methods == [.cursor] && bytes <= 1000, "\(bytes)")
    try put([8], 1)
    try forgetPlace()
    (report, bytes) = try again()
    #expect(report.methods == [.difference] && report.questions == 1 && report.upserts == 1 && bytes <= 1200, "\(bytes)")
    // A thousand: both keys of each differ, the old and the new. What the records themselves weigh is another matter.
    try put((0..<1000).map { $0 * 9 + 5 }, 2)
    try forgetPlace()
    (report, bytes) = try again()
    #expect(report.methods == [.difference] && report.upserts == 1000)
    #expect(report.questions == 2 && bytes - report.content <= 80_000, "\(report.questions) questions, \(bytes - report.content) bytes")
    // Most of them: the keys of all cost less.
    try put(0..<7_500, 3)
    try forgetPlace()
    (report, bytes) = try again()
    #expect(report.methods == [.manifest] && bytes - report.content < Int64(count + 7_500) * 8 + 2000, "\(bytes - report.content)")
    #expect(try pair.clones() == pair.expected("point"))
  }

  private func keys(_ count: Int, _ dice: inout Dice) -> [UInt64] { (0..<count).map { _ in dice.next() } }

  @Test("what two sets have in common is nothing to the sketch of their difference, however much it is, and however unequal they are")
  func common() {
    var dice = Dice(1)
    let (common, ours, theirs) = (keys(20_000, &dice), keys(900, &dice), keys(300, &dice))
    let few = DifferenceSketch(ours).distance(to: DifferenceSketch(theirs), surplus: 600)
    #expect(DifferenceSketch(common + ours).distance(to: DifferenceSketch(common + theirs), surplus: 600) == few)
    #expect(DifferenceSketch(common + theirs).distance(to: DifferenceSketch(common + ours), surplus: -600) == few)
    #expect(DifferenceSketch(common).distance(to: DifferenceSketch(common.reversed()), surplus: 0) == 0)
    #expect(few > 900 && few < 1500)
  }

  @Test("the estimate strays by 9 % from how many keys differ, be they ten or ten thousand", arguments: [10, 200, 2000, 10_000])
  func estimate(_ size: Int) {
    var dice = Dice(UInt64(size))
    let draws = size > 2000 ? 20 : 100
    var (sum, squares, least) = (0.0, 0.0, 0.0)
    for _ in 0..<draws {
      let found = DifferenceSketch(keys(size / 2, &dice)).distance(to: DifferenceSketch(keys(size / 2, &dice)), surplus: 0)
      let stray = Double(found) / Double(size) - 1
      sum += stray
      squares += stray * stray
      least = min(least, stray)
    }
    // Were it more than 30 % short, two questions might not be enough.
    #expect(abs(sum / Double(draws)) < 0.04 && (squares / Double(draws)).squareRoot() < 0.12 && least > -0.3, "\(sum) \(squares) \(least)")
  }

  @Test("a thousand changed records, whichever they are and among however many, are found by two questions and less than 80 kB")
  func thousand() {
    var (most, more) = (0, 0)
    for seed in 0..<100 as Range<UInt64> {
      var dice = Dice(seed)
      let (ours, theirs) = (keys(1000, &dice), keys(1000, &dice))
      let estimate = DifferenceSketch(ours).distance(to: DifferenceSketch(theirs), surplus: 0)
      let cells = RatelessTable.cells(forSome: estimate)
      var (left, right) = (RatelessEncoder(ours), RatelessEncoder(theirs))
      var decoder = RatelessDecoder()
      decoder.add(left.next(cells), right.next(cells))
      if !decoder.isComplete || decoder.ours != Set(ours) || decoder.theirs != Set(theirs) { more += 1 }
      // With the sketch, the cells, and the keys that are to go.
      most = max(most, DifferenceSketch.size + cells * RatelessCell.size + 1000 * 8)
    }
    #expect(more == 0 && most < 79_000, "\(more) were not read at once; \(most) bytes")
  }

  @Test("differences of any size are read by two questions")
  func anySize() {
    var dice = Dice(6)
    for size in [1, 2, 3, 5, 8, 13, 20, 50, 100, 500, 5000] {
      let (ours, theirs) = (keys(size / 2 + size % 2, &dice), keys(size / 2, &dice))
      var (left, right) = (RatelessEncoder(ours), RatelessEncoder(theirs))
      var decoder = RatelessDecoder()
      decoder.add(left.next(CloneCells.first), right.next(CloneCells.first))
      if !decoder.isComplete {
        let estimate = DifferenceSketch(ours).distance(to: DifferenceSketch(theirs), surplus: Int64(size % 2))
        let more = max(RatelessTable.cells(forSome: estimate) - CloneCells.first, 3)
        decoder.add(left.next(more), right.next(more))
      }
      #expect(decoder.isComplete && decoder.ours == Set(ours) && decoder.theirs == Set(theirs), "\(size)")
    }
  }
}
