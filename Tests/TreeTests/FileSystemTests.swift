import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

/// The same on file systems of other makes: where they are the source, and where they are the target.
@Suite(.serialized) struct FileSystemTests {
  static let kinds = [LoopFileSystem.Kind.xfs, .btrfs].filter { LoopFileSystem.works($0) }
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test(
    "awkward things and random edits, tracked, arrive and are the same",
    .enabled(if: !kinds.isEmpty, "neither xfs nor btrfs can be mounted"),
    arguments: kinds)
  func others(_ kind: LoopFileSystem.Kind) throws {
    let loop = try LoopFileSystem(kind, in: folder)
    let ends = try TransferEnds(in: loop.path)
    let tree = try AwkwardTree(at: "\(ends.from)/awkward", crowd: 100)
    try Files.makeFolder("\(ends.from)/edited")
    let edits = RandomEdits("\(ends.from)/edited", seed: 21)
    try edits.run(300)
    let tracker = try ChangeTracker(root: ends.from)
    print("\(kind): \(tracker.method) \(tracker.reason), left out: \(tree.leftOut)")
    try ends.pass()
    try tree.rework()
    for round in 0..<4 {
      try edits.run(200)
      try ends.pass(final: round == 3, changes: tracker.drain())
    }
    let found = try ends.differences()
    #expect(found == [])
    let digests = try ends.digests()
    #expect(digests.count == 1)
    let abilities = try FileSystemAbilities(in: loop.path)
    let losses = abilities.losses(of: try TreeNeeds(root: ends.from))
    #expect(losses == [])
  }
}
