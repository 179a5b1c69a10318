import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// Podman of ordinary users: what is on the disk belongs to ids of each user's own range, and containers see others.
@Suite(
  "Volumes of rootless engines",
  .enabled(if: TestEngine.available && RootlessEngine.missing == nil, Comment(rawValue: RootlessEngine.missing ?? "no engines here")))
struct RootlessTests {
  static let one = Result { try RootlessEngine(user: 61_234, first: 1_000_000) }
  static let two = Result { try RootlessEngine(user: 62_345, first: 7_000_000) }

  private func harness(_ name: String, from: JSONValue, to: JSONValue) throws -> Harness {
    func end(_ engine: JSONValue) -> JSONValue { ["volume": .string(name), "engine": engine] }
    return try Harness(product: "podman-volume", provider: "podman-volume", folder: TemporaryFolder(), from: end(from), to: end(to))
  }

  /// A volume with files of several of its users; each id is as a container of the engine sees it.
  private func fill(_ engine: RootlessEngine, _ name: String) throws -> AwkwardTree {
    try engine.run("volume", "create", name)
    let tree = try AwkwardTree(at: engine.mountpoint(name), [.names, .times, .hardLinks, .links, .sizes, .edits])
    try own(engine, tree)
    return tree
  }

  private func own(_ engine: RootlessEngine, _ tree: AwkwardTree) throws {
    _ = try Command(["chown", "--recursive", "--no-dereference", "\(engine.user):\(engine.user)", tree.root]).run()
    let mine = try Descriptor.open("\(tree.root)/of 1000", O_WRONLY | O_CREAT, mode: 0o600)
    // 1000 and 65536 in the container.
    #expect(fchown(mine.number, engine.first + 999, engine.first + 65_535) == 0 && fchmod(mine.number, 0o4750) == 0)
    // 33 in the container.
    _ = try Command(["setfacl", "--modify", "user:\(engine.first + 32):r,group:\(engine.first + 32):rw", "\(tree.root)/of 1000"]).run()
  }

  private func list(_ path: String) throws -> Set<String> {
    Set(
      try Command(["getfacl", "--numeric", "--omit-header", "--absolute-names", path]).run().output.split(separator: "\n").map(String.init))
  }

  @Test("root moves one to another user's, and ids go through both ranges, in ACLs too")
  func direct() throws {
    let (one, two) = (try Self.one.get(), try Self.two.get())
    let name = Engines.name("rootless")
    let tree = try fill(one, name)
    let harness = try harness(name, from: .string(one.address), to: .string(two.address))
    for side in Side.allCases { #expect(try harness.call(side, .check)["notices"]?.array?.isEmpty == true) }
    let digests = try harness.moveUntilVerified {
      try tree.rework()
      try own(one, tree)
    }
    #expect(digests.source == digests.destination)
    try harness.call(.destination, .activate)
    func map(_ id: UInt32) -> UInt32 { id == one.user ? two.user : id - one.first + two.first }
    let (from, to) = (try one.mountpoint(name), try two.mountpoint(name))
    #expect(try TreeComparison.differences(from, to, ignoring: [.flags, .accessLists, .attributes], owner: map, group: map) == [])
    #expect(try list("\(to)/of 1000").isSuperset(of: ["user:\(two.first + 32):r--", "group:\(two.first + 32):rw-"]))
    // The user himself sees it as it was, inside of his namespace.
    #expect(try two.run("unshare", "stat", "--format", "%u:%g", "\(to)/of 1000") == "1000:65536")
    for side in Side.allCases { try harness.call(side, .release) }
    for _ in 0..<2 { try harness.call(.source, .retire) }
    #expect(try !one.run("volume", "ls", "--quiet").split(separator: "\n").contains(name[...]))
  }

  @Test("between a rootless engine and root's own the container's ids are the disk's at one end")
  func rootful() throws {
    let (one, root) = (try Self.one.get(), try Pair.of(.podman).to)
    let name = Engines.name("rootless")
    _ = try fill(one, name)
    let harness = try harness(name, from: .string(one.address), to: .string(root.address))
    let digests = try harness.moveUntilVerified()
    #expect(digests.source == digests.destination)
    try harness.call(.destination, .activate)
    func map(_ id: UInt32) -> UInt32 { id == one.user ? 0 : id - one.first + 1 }
    let (from, to) = (try one.mountpoint(name), try root.mountpoint(name))
    #expect(try TreeComparison.differences(from, to, ignoring: [.flags, .accessLists, .attributes], owner: map, group: map) == [])
    #expect(try list("\(to)/of 1000").isSuperset(of: ["user:33:r--", "group:33:rw-"]))
  }

  @Test("an owner beyond the range of the destination's user is named before anything is changed")
  func beyond() throws {
    let (root, two) = (try Pair.of(.podman).from, try Self.two.get())
    let name = Engines.name("rootless")
    try root.run("volume", "create", name)
    let file = try Descriptor.open("\(root.mountpoint(name))/file", O_WRONLY | O_CREAT)
    fchown(file.number, 70_000, 70_000)
    let harness = try harness(name, from: .string(root.address), to: .string(two.address))
    let abilities = try harness.call(.destination, .check)["abilities"] ?? [:]
    let notices = try harness.call(.source, .check, ["abilities": abilities])["notices"]?.array ?? []
    #expect(
      notices.contains {
        $0["severity"]?.string == "error" && $0["text"]?.string?.contains("owners up to 70000 (there 65536 at most)") == true
      })
    try harness.prepare()
    #expect(failure { try harness.pass() }?.message.contains("outside the map of ids") == true)
  }
}
