import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite struct TreeProviderTests {
  let folder: TemporaryFolder
  var from: String { folder("a/state") }
  var to: String { folder("b/state") }

  init() throws {
    folder = try TemporaryFolder()
    for name in ["keep/file", "keep/note.tmp", "cache/x"] { try folder.write("a/state/\(name)", name) }
    try Files.makeFolder(folder("b"))
  }

  private func harness(_ keys: [String: JSONValue] = [:]) throws -> Harness {
    try Harness(product: "tree", provider: "tree", folder: folder, from: ["path": .string(from)], to: ["path": .string(to)], keys: keys)
  }

  @Test("what is excluded neither arrives, nor counts, nor is retired")
  func excludes() throws {
    let harness = try harness(["exclude": ["cache/", "*.tmp"]])
    let (source, destination) = try harness.moveUntilVerified { try folder.write("a/state/keep/more.tmp", "x") }
    #expect(source == destination)
    try harness.call(.destination, .activate)
    #expect(Files.names(in: "\(to)/keep") == ["file"])
    #expect(Files.names(in: to) == ["keep"])
    harness.killBoth()
    try harness.call(.source, .retire)
    #expect(Files.names(in: "\(from)/keep") == ["more.tmp", "note.tmp"])
    #expect(Files.names(in: "\(from)/cache") == ["x"])
  }

  @Test("the last pass looks only at what was tracked, and all depths of the proof have one root")
  func tracked() throws {
    for index in 0..<300 { try folder.write("a/state/many/\(index)", "\(index)") }
    let harness = try harness()
    try harness.prepare()
    try harness.pass()
    try folder.write("a/state/many/7", "changed")
    unlink("\(from)/many/8")
    let last = try harness.pass(final: true)
    #expect((last.sent["entries"]?.int ?? .max) < 10, "\(harness.log)")
    var roots: Set<String> = []
    for depth in ["tracked", "sweep", "full"] {
      for side in Side.allCases { roots.insert(try harness.call(side, .digest, ["depth": .string(depth)])["root"]?.string ?? "none") }
    }
    #expect(roots.count == 1)
  }

  @Test("with `track: false` everything is looked at")
  func untracked() throws {
    let harness = try harness(["track": false])
    try harness.prepare()
    try harness.pass()
    #expect(try harness.pass(final: true).sent["entries"]?.int == 6)
  }

  @Test("both ends die in the middle of a run: what arrived is not sent again")
  func resumes() throws {
    try folder.write("a/state/large", String(repeating: "large", count: 1_000_000))
    let harness = try harness()
    try harness.prepare()
    try harness.pass()
    harness.killBoth()
    let second = try harness.pass(final: true)
    #expect(second.sent["bytes"]?.int == 0)
    #expect(try harness.digest(.source) == harness.digest(.destination))
  }

  @Test(
    "a receiver that dies inside the writing of a small file: a new one is made whole, one that was there stays whole until it is replaced",
    arguments: [false, true])
  func diesInside(_ isThere: Bool) throws {
    let harness = try harness()
    if isThere { try folder.write("a/state/small", "as it was") }
    try harness.prepare()
    if isThere { try harness.pass() }
    try folder.write("a/state/small", String(repeating: "small", count: 120_000))
    // The kernel ends a process that writes more to a file than it may, after it has written so much.
    let limits = ["--fsize=300000", "--core=0"]
    #expect(try Command(["prlimit", "--pid", "\(harness.host(.destination).identity.pid)"] + limits).run().succeeded)
    #expect(failure { try harness.pass() } != nil)
    harness.killBoth()
    let staged = folder("b/.state.ferry-run1/tree")
    let halves = Files.names(in: staged).filter { (try? Files.read("\(staged)/\($0)").count) == 300_000 }
    if isThere {
      #expect(try halves.count == 1 && halves != ["small"] && Files.read("\(staged)/small") == Array("as it was".utf8))
    } else {
      #expect(halves == ["small"], "it died elsewhere")
    }
    #expect(try harness.digest(.source, full: true) != harness.digest(.destination, full: true), "half a file is none")
    try harness.pass(final: true)
    for full in [false, true] {
      #expect(try harness.digest(.source, full: full) == harness.digest(.destination, full: full))
    }
    try harness.call(.destination, .activate)
    #expect(try TreeComparison.differences(from, to) == [])
  }

  @Test("a target inside of the source is refused") func inside() throws {
    let harness = try Harness(
      product: "tree", provider: "tree", folder: folder, from: ["path": .string(from)], to: ["path": .string("\(from)/keep/copy")])
    #expect(failure { try harness.prepare() }?.class == .precondition)
  }
}
