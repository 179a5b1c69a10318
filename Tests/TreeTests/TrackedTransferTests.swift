import CLinux
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

  @Test(
    "random edits through an overlay, of which only those that a tracker saw in its upper folder are looked at, end equal",
    .enabled(if: Self.tellsOfOverlays, "this kernel does not tell of what is written through an overlay"), arguments: [21, 22, 23])
  func overlay(seed: Int) throws {
    let ends = try TransferEnds()
    let folder = try #require(ends.folder)
    for name in ["lower", "work"] { try Files.makeFolder(folder(name), mode: 0o755) }
    symlink("from", folder("upper"))
    try RandomEdits(folder("lower"), seed: UInt64(seed)).run(300)
    let layers = try Descriptor.open(folder.path, O_RDONLY)
    let number = withExtendedLifetime(layers) { clinux_overlay(layers.number) }
    try #require(number >= 0)
    let root = Descriptor(number)
    defer { root.close() }
    let edits = RandomEdits("/proc/self/fd/\(root.number)", seed: UInt64(seed + 100))
    try edits.run(100)
    let tracker = try ChangeTracker(root: ends.from)
    defer { tracker.stop() }
    try ends.pass()
    for round in 0..<6 {
      try edits.run(60)
      let changes = tracker.drain().union(try OpenFiles(below: ends.from).changes)
      try ends.pass(final: round == 5, changes: changes)
      // What the kernel notes about its own mount is not carried.
      #expect(try TreeComparison.differences(ends.from, ends.to, ignoring: [.flags, .systemAttributes]) == [], "round \(round)")
      #expect(try ends.digests([.tracked, .full]).count == 1, "round \(round)")
    }
  }

  static let tellsOfOverlays: Bool = {
    guard geteuid() == 0, let folder = try? TemporaryFolder() else { return false }
    return (try? OverlayTrial.tellsOfWrites(in: folder.path)) == true
  }()

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

  @Test(
    "whiteouts that a kernel made names of one device file are looked at no more than others, and so are folders for names that are elsewhere",
    .enabled(if: geteuid() == 0, "device files are root's"))
  func whiteouts() throws {
    let ends = try TransferEnds()
    let first = "\(ends.from)-elsewhere"
    #expect(mknod(first, S_IFCHR, 0) == 0)
    for index in 0..<50 { #expect(link(first, "\(ends.from)/gone-\(index)") == 0) }
    try ends.pass()
    #expect(link(first, "\(ends.from)/another") == 0)
    let pass = try ends.pass(final: true, changes: TreeChanges(entries: [Array("another".utf8), []]))
    #expect(pass.sent.entries == 1)
    #expect(try ends.differences() == [])
    #expect(try ends.digests().count == 1)
  }

  @Test("an attribute that is refused ends any pass, on a file and on a folder", arguments: ["file", "folder", ""])
  func refused(_ name: String) throws {
    let ends = try TransferEnds()
    ends.options.refused = [Array("user.no".utf8)]
    try Files.makeFolder("\(ends.from)/folder")
    try Descriptor.open("\(ends.from)/file", O_CREAT | O_WRONLY).write([1])
    try ends.pass()
    #expect(try Command(["setfattr", "-n", "user.no", "-v", "x", "\(ends.from)/\(name)"]).run().succeeded)
    let refusal = #expect(throws: FerryError.self) { try ends.pass() }
    #expect(refusal?.code == TreeSender.refusedAttribute && refusal?.message.contains("user.no") == true)
  }
}
