import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// Layers of ordinary users' Podman: owners are of each user's own range, and the kernel marks what an overlay of theirs does in the name space `user`.
@Suite(
  "Layers of rootless engines",
  .enabled(if: TestEngine.available && RootlessEngine.missing == nil, Comment(rawValue: RootlessEngine.missing ?? "no engines here")))
struct RootlessLayerTests {
  static let one = Result { try RootlessEngine(user: 63_234, first: 11_000_000, driver: "overlay") }
  static let two = Result { try RootlessEngine(user: 64_345, first: 17_000_000, driver: "overlay") }
  static let whole = Result { try RootlessEngine(user: 65_456, first: 27_000_000) }

  /// Who moves to whom.
  enum Way: String, CaseIterable, CustomTestStringConvertible {
    case another = "to another user's"
    case toRoot = "to root's own"
    case fromRoot = "from root's own"
    case whole = "to one that keeps whole file systems"
    case fromWhole = "from one that keeps whole file systems"
    var testDescription: String { rawValue }

    func ends() throws -> (from: any EngineUnderTest, to: any EngineUnderTest) {
      switch self {
      case .another: (try one.get(), try two.get())
      case .toRoot: (try one.get(), try Pair.of(.podman).to)
      case .fromRoot: (try Pair.of(.podman).from, try two.get())
      case .whole: (try one.get(), try RootlessLayerTests.whole.get())
      case .fromWhole: (try RootlessLayerTests.whole.get(), try two.get())
      }
    }
  }

  /// Owners of several ranges, a program that runs as another, several names, and folders whose content of the image is hidden.
  static let more = """
    chown 1000:33 /added/deep; echo run > /added/program; chown 33:33 /added/program; chmod 4751 /added/program
    mkdir -p /image/hidden; touch /image/hidden/x; chown 65535:1 /image/hidden/x
    """

  @Test("everything that a container changed arrives in one made from the same image, with its owners and marks", arguments: Way.allCases)
  func moves(_ way: Way) throws {
    let (from, to) = try way.ends()
    let name = Engines.name("rootless")
    try from.start(name, script: "\(LayerTests.changes)\n\(Self.more)")
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name), "image": "box"]))
    #expect(try move.notices(.source) == [] && move.notices(.destination) == [])
    #expect(try move.notices(.source, "warning").contains { $0.contains("read through the engine") } == (way == .fromWhole))
    try move.harness.prepare()
    try move.harness.pass()
    try from.run("exec", name, "/bin/sh", "-c", "echo again > /image/changed; rm /image/mode; touch /last; chown 5:5 /last")
    try from.run("stop", "--time", "5", name)
    try move.harness.pass(final: true)
    for full in [false, true] {
      #expect(try move.harness.digest(.source, full: full) == move.harness.digest(.destination, full: full))
    }
    try move.harness.call(.destination, .activate)
    let (there, here) = (try from.contents(name), try to.contents(name))
    #expect(there.contains { $0.contains("-rwsr-x--x 33/33 ") && $0.hasSuffix(" added/program") })
    #expect(there.filter { !here.contains($0) } == [])
    #expect(here.filter { !there.contains($0) } == [])
    try to.run("start", name)
    try waitFor("the container") { (try? to.run("exec", name, "test", "-e", "/last")) != nil }
    let seen = try to.run("exec", name, "/bin/sh", "-c", "cat /image/changed /image/replaced; ls /image /image/folder/deep")
    #expect(
      seen == "again\na file now\n/image:\nchanged\nfolder\nhidden\nkept\nlinked-too\nreplaced\nzz\n\n/image/folder/deep:\nnew", "\(seen)")
    try to.run("stop", "--time", "5", name)
    try move.release()
    for _ in 0..<2 { try move.harness.call(.source, .retire) }
    #expect((try? from.run("container", "inspect", name)) == nil)
    // Nothing of the run is in the way of the user who owns the engine.
    try to.run("rm", name)
  }

  @Test("on the disks each end has its own ids and marks, attributes and fractions of seconds come along")
  func disks() throws {
    let (one, two) = (try Self.one.get(), try Self.two.get())
    let name = Engines.name("rootless")
    try one.start(name, script: "\(LayerTests.changes)\n\(Self.more)")
    try one.run("stop", "--time", "5", name)
    let from = try one.upper(name)
    for command in [
      ["setfattr", "-n", "user.note", "-v", "ours", "\(from)/added/program"],
      ["setfacl", "--modify", "user:\(one.first + 32):r", "\(from)/added/program"],
      // What a container wrote of itself under an overlay's name.
      ["setfattr", "-n", "user.overlay.overlay.opaque", "-v", "mine", "\(from)/added"],
    ] { #expect(try Command(command).run().succeeded) }
    let move = try Move("layer", (one, ["container": .string(name)]), (two, ["container": .string(name), "image": "box"]))
    try move.run()
    let to = try two.upper(name)
    func map(_ id: UInt32) -> UInt32 { id == one.user ? two.user : id - one.first + two.first }
    #expect(try TreeComparison.differences(from, to, ignoring: [.flags, .accessLists, .attributes], owner: map, group: map) == [])
    func attributes(_ path: String, _ name: String) throws -> String {
      try Command(["getfattr", "--only-values", "--absolute-names", "-n", name, path]).run().output
    }
    #expect(try attributes("\(to)/image/folder/deep", "user.overlay.opaque") == "y")
    #expect(try attributes("\(to)/added", "user.overlay.overlay.opaque") == "mine")
    #expect(try attributes("\(to)/added/program", "user.note") == "ours")
    #expect(try Command(["getfacl", "--numeric", "\(to)/added/program"]).run().output.contains("user:\(two.first + 32):r--"))
    try move.giveUp()
    #expect((try? two.run("container", "inspect", name)) == nil, "what was made for the run is gone")
  }

  @Test("`user` says whose engine it is, at either end")
  func named() async throws {
    let (one, two) = (try Self.one.get(), try Self.two.get())
    let name = Engines.name("rootless")
    for engine in [one, two] { try engine.run("create", "--name", name, "--network", "none", "box", "/bin/sh") }
    try Descriptor.open("\(one.upper(name))/file", O_WRONLY | O_CREAT).write([1])
    #expect(try chown("\(one.upper(name))/file", one.first + 5, one.first + 6) == 0)
    try await Threads.run {
      try RootlessEngine.introduce([one, two])
      func end(_ engine: RootlessEngine) -> JSONValue { ["container": .string(name), "user": .string(engine.name)] }
      let harness = try Harness(
        product: "docker-layer", provider: "podman-layer", folder: TemporaryFolder(), from: end(one), to: end(two))
      let digests = try harness.moveUntilVerified()
      #expect(digests.source == digests.destination)
      try harness.call(.destination, .activate)
    }
    var status = stat()
    #expect(try stat("\(two.upper(name))/file", &status) == 0 && [status.st_uid, status.st_gid] == [two.first + 5, two.first + 6])
  }

  @Test("after moves to and fro there are still the image and one layer")
  func toAndFro() throws {
    let (one, two) = (try Self.one.get(), try Self.two.get())
    let name = Engines.name("traveller")
    try one.run("create", "--name", name, "--network", "none", "box", "/bin/sh")
    func layers(_ engine: RootlessEngine) throws -> Int {
      try engine.run("container", "inspect", "--format", "{{.GraphDriver.Data.LowerDir}}", name).split(separator: ":").count
    }
    let depth = try layers(one)
    try Descriptor.open("\(one.upper(name))/visits", O_WRONLY | O_CREAT).write([])
    #expect(try chown("\(one.upper(name))/visits", one.user, one.user) == 0)
    for number in 1...6 {
      let (from, to) = number % 2 == 1 ? (one, two) : (two, one)
      let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name), "image": "box"]))
      try Descriptor.open("\(from.upper(name))/visits", O_WRONLY | O_APPEND).write(Array("\(number)\n".utf8))
      try move.run()
      try move.release()
      try move.harness.call(.source, .retire)
    }
    #expect(try String(decoding: Files.read("\(one.upper(name))/visits"), as: UTF8.self).split(separator: "\n").count == 6)
    #expect(try layers(one) == depth)
  }

  @Test("one that exists gets its own layer back, one that runs or is looked into keeps it, an owner beyond the range is named")
  func refusals() throws {
    let (root, two) = (try Pair.of(.podman).from, try Self.two.get())
    let name = Engines.name("rootless")
    try root.start(name, script: "echo new > /new")
    try two.start(name, script: "echo theirs > /theirs; rm /image/gone")
    func move(_ keys: [String: JSONValue] = [:]) throws -> Move {
      try Move("layer", (root, ["container": .string(name)]), (two, ["container": .string(name)]), keys: keys)
    }
    #expect(try move().notices(.destination).first?.contains("changes of its own") == true)
    let replacing = try move(["replace": true])
    _ = try replacing.harness.moveUntilVerified()
    #expect(failure { try replacing.harness.call(.destination, .activate) }?.message.contains("its layer is in use") == true)
    try two.run("stop", "--time", "5", name)
    // Where the user's engine mounts, which is nowhere for this process.
    try two.run("unshare", "podman", "mount", name)
    #expect(failure { try replacing.harness.call(.destination, .activate) }?.message.contains("is mounted") == true)
    try two.run("unshare", "podman", "umount", name)
    try replacing.harness.call(.destination, .activate)
    #expect(try Files.exists("\(two.upper(name))/new") && !Files.exists("\(two.upper(name))/theirs"))
    try replacing.giveUp()
    #expect(try Files.exists("\(two.upper(name))/theirs") && !Files.exists("\(two.upper(name))/new"))
    try root.run("exec", name, "chown", "70000", "/new")
    let beyond = try move(["replace": true])
    #expect(try beyond.notices(.source).contains { $0.contains("owners up to 70000 (there 65536 at most)") })
  }

  @Test("layers that a program of its own mounts are refused with what to do, and a user that is not there by name")
  func refused() throws {
    let program = try RootlessEngine(
      user: 66_567, first: 37_000_000, driver: "overlay", storage: "[storage.options.overlay]\nmount_program = \"/bin/true\"")
    let name = Engines.name("rootless")
    let from = try Pair.of(.podman).from
    try from.run("create", "--name", name, "--network", "none", "box", "/bin/sh")
    let move = try Move("layer", (from, ["container": .string(name)]), (program, ["container": .string(name), "image": "box"]))
    #expect(try move.notices(.destination).first?.contains("are mounted by /bin/true") == true)
    let nobody = try Move(
      "layer", (from, ["container": .string(name)]), (program, ["container": .string(name), "engine": "", "user": "nobody-of-here"]))
    #expect(try nobody.notices(.destination).first?.contains("there is no user 'nobody-of-here'") == true)
  }
}
