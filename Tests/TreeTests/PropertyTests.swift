import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

/// Whatever a service does to its tree, and whenever, the other end is the same in the end: by plain system calls, and by every digest.
@Suite(.serialized) struct PropertyTests {
  /// More of them for a night: FERRY_SEEDS=1000-1500.
  private static let seeds: [Int] = {
    let bounds = Environment.all["FERRY_SEEDS"]?.split(separator: "-").compactMap { Int($0) } ?? []
    return Array(bounds.count == 2 ? bounds[0]..<bounds[1] : 0..<6)
  }()

  private func expectEqual(_ ends: TransferEnds, _ note: String) throws {
    let found = try ends.differences()
    #expect(found == [], "\(note)")
    let digests = try ends.digests()
    #expect(digests.count == 1, "\(note)")
  }

  @Test("every awkward thing arrives, and so does every kind of change of it", arguments: [true, false])
  func awkward(_ tracked: Bool) throws { try awkward(tracked, TransferEnds()) }

  private func awkward(_ tracked: Bool, _ ends: TransferEnds) throws {
    let tree = try AwkwardTree(at: ends.from, crowd: 400)
    let tracker = try ChangeTracker(root: ends.from)
    try ends.pass()
    try expectEqual(ends, "first")
    _ = tracker.drain()
    try tree.rework()
    try ends.pass(final: true, changes: tracked ? tracker.drain() : nil)
    try expectEqual(ends, tracked ? "tracked" : "swept")
  }

  @Test("random edits between passes, swept or tracked, resumed or not", arguments: seeds)
  func between(_ seed: Int) throws { try between(seed, TransferEnds()) }

  private func between(_ seed: Int, _ ends: TransferEnds) throws {
    var generator = SeededGenerator(UInt64(seed))
    let edits = RandomEdits(ends.from, seed: UInt64(seed))
    let tracker = try ChangeTracker(root: ends.from, best: seed % 2 == 0 ? .fanotify : .inotify)
    for round in 0..<8 {
      try edits.run(150)
      // Now and then somebody dies and another goes on.
      switch Int.random(in: 0..<8, using: &generator) {
      case 0: try ends.forget(["sender"])
      case 1: try ends.forget(["receiver"])
      case 2: try ends.forget()
      case 3: try ends.forget(["receiver"], state: true)
      default: break
      }
      let changes = tracker.drain()
      try ends.pass(changes: round % 3 == 2 ? nil : changes, channels: 1 + round % 2)
      try expectEqual(ends, "seed \(seed), round \(round)")
    }
  }

  @Test("random edits while passes run: the last pass, with nobody writing, makes both ends equal", arguments: seeds)
  func during(_ seed: Int) throws { try during(seed, TransferEnds()) }

  @Test("all of it on a file system in memory as well", .enabled(if: geteuid() == 0, "only root can mount one"), arguments: [6, 7])
  func inMemory(_ seed: Int) throws {
    let folder = try TemporaryFolder()
    try Files.makeFolder(folder("memory"))
    try #require(mount("tmpfs", folder("memory"), "tmpfs", 0, nil) == 0)
    defer { umount2(folder("memory"), Int32(MNT_DETACH)) }
    for name in ["awkward", "between", "during"] { try Files.makeFolder(folder("memory/\(name)")) }
    try awkward(seed % 2 == 0, TransferEnds(in: folder("memory/awkward")))
    try between(seed, TransferEnds(in: folder("memory/between")))
    try during(seed, TransferEnds(in: folder("memory/during")))
  }

  private func during(_ seed: Int, _ ends: TransferEnds) throws {
    try RandomEdits(ends.from, seed: UInt64(seed)).run(600)
    let tracker = try ChangeTracker(root: ends.from)
    let stopping = Lock(false)
    let ended = Signal()
    let from = ends.from
    Threads.detach {
      let edits = RandomEdits(from, seed: UInt64(seed) + 100)
      while !stopping.withLock({ $0 }) { try? edits.run(20) }
      ended.raise()
    }
    var pending = TreeChanges()
    for round in 0..<6 {
      pending = pending.union(tracker.drain())
      do {
        try ends.pass(changes: round == 0 ? nil : pending)
        pending = TreeChanges()
      } catch {
        stopping.withLock { $0 = true }
        ended.wait()
        throw FerryError.wrap(error).inside("seed \(seed), round \(round)")
      }
    }
    stopping.withLock { $0 = true }
    ended.wait()
    try ends.pass(final: true, changes: pending.union(tracker.drain()))
    try expectEqual(ends, "seed \(seed)")
  }
}
