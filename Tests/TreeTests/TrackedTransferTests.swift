import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

@Suite("Transfer of what a tracker saw") struct TrackedTransferTests {
  @Test(
    "random edits, of which only those that a tracker saw are looked at, end equal", arguments: ChangeTracker.Method.allCases, [11, 12, 13])
  func random(method: ChangeTracker.Method, seed: Int) throws {
    let ends = try TransferEnds()
    let edits = RandomEdits(ends.from, seed: UInt64(seed))
    try edits.run(200)
    let tracker = try ChangeTracker(root: ends.from, best: method)
    defer { tracker.stop() }
    try ends.pass()
    for round in 0..<6 {
      try edits.run(40)
      let changes = tracker.drain().union(try OpenFiles(below: ends.from).changes)
      try ends.pass(final: round == 5, changes: changes)
      #expect(try ends.differences() == [], "round \(round)")
      #expect(try ends.digests([.tracked, .full]).count == 1, "round \(round)")
    }
  }

  @Test("nothing but what the tracker names is looked at") func only() throws {
    let ends = try TransferEnds()
    for index in 0..<50 { try Descriptor.open("\(ends.from)/f\(index)", O_CREAT | O_WRONLY).write([UInt8(index)]) }
    try ends.pass()
    try Descriptor.open("\(ends.from)/f7", O_WRONLY).write([77])
    try Descriptor.open("\(ends.from)/f8", O_WRONLY).write([88])
    unlink("\(ends.from)/f9")
    let pass = try ends.pass(changes: TreeChanges(entries: [Array("f7".utf8), Array("f9".utf8)]))
    #expect(pass.sent.entries == 1)
    #expect(pass.received.removed == 1)
    #expect(try Files.read("\(ends.to)/f7") == [77])
    #expect(try Files.read("\(ends.to)/f8") == [8], "it was not named")
    #expect(try ends.digests([.sweep]).count == 2, "a sweep finds what a tracker missed")
    try ends.pass(final: true)
    #expect(try ends.digests().count == 1)
  }

  @Test("a tracker that lost count is not believed: all is walked") func overflow() throws {
    let ends = try TransferEnds()
    try Files.makeFolder("\(ends.from)/a")
    try ends.pass()
    try Descriptor.open("\(ends.from)/a/new", O_CREAT | O_WRONLY).write([1])
    try ends.pass(final: true, changes: TreeChanges(isComplete: false))
    #expect(try ends.differences() == [])
  }
}
