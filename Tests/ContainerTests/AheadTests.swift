import Ferry
import FerryConformance
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite("Memory that goes ahead", .enabled(if: TestEngine.available), .serialized) struct AheadTests {
  private static let ballast = 8 << 20

  /// A container at the one, and both ends of its move.
  private final class Move {
    let (from, to): (TestEngine, TestEngine)
    let name: String
    let folder: TemporaryFolder
    let tracking: Tracking
    let harness: Harness

    init(_ word: String, before: (TemporaryFolder) -> String = { _ in "" }, podman: [String]? = nil) throws {
      (from, to) = try Pair.of(.podman)
      (name, folder) = (Pair.name(word), try TemporaryFolder())
      try Counting.start(from, name, ballast: ballast)
      tracking = try Tracking(from, folder, before: before(folder))
      harness = try Counting.harness(from, to, name, folder, tracking: tracking, podman: podman)
      try harness.prepare()
    }

    deinit { for engine in [from, to] { _ = try? engine.call("rm", "--force", "--time", "0", name) } }

    func file(_ side: Side, _ name: String) -> String { folder("host-\(side.rawValue)/tmp/\(name)") }

    func size(_ side: Side, _ name: String) -> Int {
      var status = stat()
      return stat(file(side, name), &status) == 0 ? Int(status.st_size) : -1
    }

    /// What is wrong with the counter there: it goes on from where it was, has every number once, and what it never changes is whole.
    func complaints(_ engine: TestEngine, since last: Int, sum: String) throws -> [String] {
      try waitFor("the counter to go on") { try Counting.numbers(engine, name).count > last + 20 }
      let all = try Counting.numbers(engine, name)
      return (all == Array(1...max(1, all.count)) ? [] : ["gaps or repetitions"])
        + (try Counting.sum(engine, name) == sum ? [] : ["other memory than it had"])
    }

    /// What is left of memory at the source, there and beside the container.
    func remains() throws -> [String] {
      let kept =
        try from.run("container", "inspect", "--format", "{{.StaticDir}}", name).split(separator: "\n").first.map(String.init) ?? ""
      return Files.names(in: kept).filter { $0.contains("checkpoint") }
        + Side.allCases.flatMap { side in ["ahead.tar", "checkpoint.tar"].filter { Files.exists(file(side, $0)) } }
    }
  }

  @Test("the checkpoint leans on what was taken while the processes ran, and they go on with all of it") func leans() throws {
    let move = try Move("ahead")
    let sum = try Counting.sum(move.from, move.name)
    for _ in 0..<2 { #expect(try move.harness.pass().sent["method"]?.string == "memory ahead") }
    let last = try Counting.numbers(move.from, move.name).count
    try move.harness.freezeAndFinish()
    #expect(try move.tracking.checkpoints() == ["ahead", "ahead", "leaning"])
    #expect(move.size(.destination, "ahead.tar") > Self.ballast)
    // Only a kernel that tracks memory knows what has not changed since.
    #expect((move.size(.destination, "checkpoint.tar") < Self.ballast) == TestCriu.tracksMemory)
    #expect(try move.harness.digest(.source)["root"] == move.harness.digest(.destination)["root"])
    move.harness.killBoth()
    for _ in 0..<2 { try move.harness.call(.destination, .activate) }
    #expect(try move.complaints(move.to, since: last, sum: sum) == [])
    for side in Side.allCases { try move.harness.call(side, .release) }
    #expect(Side.allCases.allSatisfy { move.size($0, "ahead.tar") < 0 })
  }

  @Test("what went ahead is part of the proof") func proof() throws {
    let move = try Move("proven")
    try move.harness.pass()
    try move.harness.freezeAndFinish()
    let file = try Descriptor.open(move.file(.destination, "ahead.tar"), O_RDWR)
    #expect(pwrite(file.number, "x", 1, 6 << 20) == 1)
    file.close()
    #expect(try move.harness.digest(.source)["root"] != move.harness.digest(.destination)["root"])
    try move.harness.giveUp()
  }

  @Test("a restore that fails lets the source go on from a checkpoint that leans, and nothing of it stays") func back() throws {
    let move = try Move("returning", podman: ["/bin/sh", "-c", "echo Error: no >&2; exit 1"])
    let sum = try Counting.sum(move.from, move.name)
    try move.harness.pass()
    let last = try Counting.numbers(move.from, move.name).count
    try move.harness.freezeAndFinish()
    #expect(failure { try move.harness.call(.destination, .activate) }?.message.contains("restore` failed: Error: no") == true)
    try move.harness.giveUp()
    #expect(try move.complaints(move.from, since: last, sum: sum) == [])
    #expect(try move.remains() == [])
    #expect(try move.to.inventory(move.name) == [])
  }

  @Test("a run that is given up before the stop leaves no memory on disk, beside the container neither") func early() throws {
    let move = try Move("early")
    try move.harness.pass()
    #expect(try move.remains().contains("pre-checkpoint"))
    try move.harness.giveUp()
    #expect(try move.remains() == [])
    #expect(try move.from.run("container", "inspect", "--format", "{{.State.Running}}", move.name).hasPrefix("true"))
  }

  @Test("a checkpoint that failed may have marked memory as seen: the next one leans on nothing") func spent() throws {
    let move = try Move(
      "spent",
      before: { folder in
        "case $* in *--parent-path*) [ -e '\(folder("failed"))' ] || { : > '\(folder("failed"))'; echo broken >&2; exit 1; } ;; esac"
      })
    let sum = try Counting.sum(move.from, move.name)
    try move.harness.pass()
    #expect(failure { try move.harness.call(.source, .freeze) } != nil)
    let last = try Counting.numbers(move.from, move.name).count
    try move.harness.freezeAndFinish()
    #expect(try move.tracking.checkpoints() == ["ahead", "leaning", "whole"])
    #expect(move.size(.destination, "checkpoint.tar") > Self.ballast)
    #expect(try move.harness.digest(.source)["root"] == move.harness.digest(.destination)["root"])
    try move.harness.call(.destination, .activate)
    #expect(try move.complaints(move.to, since: last, sum: sum) == [])
  }

  @Test("a runtime that cannot take memory ahead costs no more than that: it is said, and all of it travels at the stop") func cannot()
    throws
  {
    let move = try Move("whole", before: { _ in "case $* in *--pre-dump*) echo unrecognized option >&2; exit 1 ;; esac" })
    let sum = try Counting.sum(move.from, move.name)
    #expect(try move.harness.pass().sent["method"]?.string?.hasPrefix("no memory: `podman container checkpoint` failed") == true)
    #expect(move.harness.log.contains("all of it travels while nobody serves"))
    let last = try Counting.numbers(move.from, move.name).count
    try move.harness.freezeAndFinish()
    #expect(try move.tracking.checkpoints() == ["ahead", "whole"])
    try move.harness.call(.destination, .activate)
    #expect(try move.complaints(move.to, since: last, sum: sum) == [])
  }
}
