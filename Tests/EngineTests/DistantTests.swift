import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// Engines that are reached in the network: none of their files is within reach. One after another, since they share two engines and ask
/// what is left there.
@Suite("Volumes of an engine out of reach", .serialized, .enabled(if: TestEngine.available)) struct DistantTests {
  static let docker = Result { try TestEngine(.docker, isNetworked: true) }
  static let podman = Result { try TestEngine(.podman, isNetworked: true) }
  static func the(_ kind: TestEngine.Kind) throws -> TestEngine { try kind == .docker ? docker.get() : podman.get() }

  /// Podman's archives leave these out at the top of what a container mounts, without a word.
  private static func nameLikeASystem(_ folder: String) throws {
    for name in ["dev", "proc", "sys"] {
      try Files.makeFolder("\(folder)/\(name)", mode: 0o755)
      try Descriptor.open("\(folder)/\(name)/file", O_WRONLY | O_CREAT).write(Array(name.utf8))
    }
  }

  private func move(_ from: TestEngine, _ name: String, _ to: TestEngine, port: UInt16? = nil, keys: [String: JSONValue] = [:]) throws
    -> Move
  {
    try Move(
      "volume", (from, ["volume": .string(name)]),
      (to, ["volume": .string(name), "engine": .string("tcp://127.0.0.1:\(port ?? to.port)")]), keys: keys)
  }

  @Test(
    "one is filled by a container that is never started, and what the engine gives back is what it was given",
    arguments: TestEngine.Kind.allCases)
  func arrives(_ kind: TestEngine.Kind) throws {
    let (from, to) = (try Pair.of(kind).from, try Self.the(kind))
    let name = Engines.name("distant")
    try from.run("volume", "create", "--label", "app=\(name)", name)
    let tree = try AwkwardTree(at: from.mountpoint(name), [.names, .modes, .owners, .times, .hardLinks, .links, .sizes, .special, .edits])
    try Self.nameLikeASystem(from.mountpoint(name))
    chown(try from.mountpoint(name), 1234, 70000)
    chmod(try from.mountpoint(name), 0o2750)
    let move = try move(from, name, to)
    #expect(try move.notices(.destination) == [])
    #expect(try move.notices(.destination, "warning").contains { $0.contains("written through the engine") })
    if kind == .docker {
      #expect(try move.notices(.source).contains { $0.contains("times before 0 seconds since 1970") })
      _ = try Command(["/bin/sh", "-c", "rm -r '\(from.mountpoint(name))'/times/-*"]).run()
    }
    #expect(try move.notices(.source) == [])
    let losses = try move.notices(.source, "warning")
    for loss in ["sockets", "fractions of seconds"] { #expect(losses.contains { $0.contains(loss) }, "\(losses)") }
    let root = try move.run { try tree.rework() }
    for side in Side.allCases { #expect(try move.harness.digest(side, full: true)["root"]?.string == root) }
    // Podman takes owners and does not give them back.
    if kind == .podman {
      #expect(failure { _ = try move.harness.digest(.destination, target: "active") }?.class == .unsupported)
    } else {
      #expect(try move.harness.digest(.destination, target: "active")["root"]?.string == root)
    }
    let found = try TreeComparison.differences(
      from.mountpoint(name), to.mountpoint(name), ignoring: [.flags, .times, .sockets, .attributes, .accessLists, .holes])
    #expect(found.filter { kind == .docker || !$0.contains("a link's link") && !$0.contains("fifo again") } == [])
    #expect(try JSONValue(parsing: to.run("volume", "inspect", "--format", "{{json .Labels}}", name))["app"]?.string == name)
    // No helper is left, and a stranger comes to the same.
    #expect(try to.run("ps", "--all", "--quiet") == "")
    #expect(try to.run("images", "--quiet").split(separator: "\n").count == 1)
    try move.release()
    if kind == .podman { return }
    let stranger = try self.move(from, name, to)
    let digest = try stranger.harness.call(
      .destination, .digest, ["target": "active", "algorithm": "xxh3-128", "offer": stranger.harness.call(.destination, .prepare)])
    #expect(digest["root"]?.string == root)
  }

  @Test(
    "one that exists is refused, for it could not be given back; one that was made is gone when the run is given up",
    arguments: TestEngine.Kind.allCases)
  func refuses(_ kind: TestEngine.Kind) throws {
    let (from, to) = (try Pair.of(kind).from, try Self.the(kind))
    let name = Engines.name("distant")
    try from.run("volume", "create", name)
    try Descriptor.open("\(from.mountpoint(name))/file", O_WRONLY | O_CREAT).write([1])
    try to.run("volume", "create", name)
    try Self.isRefused(move(from, name, to, keys: ["replace": true]))
    try to.run("volume", "rm", name)
    try Self.isGivenUp(move(from, name, to))
    #expect(try !to.call("volume", "inspect", name).succeeded)
  }

  /// What is there already is no target, whoever says `replace`.
  static func isRefused(_ move: Move) throws {
    #expect(try move.notices(.destination).first?.contains("could not be given back") == true)
    try move.harness.prepare()
    #expect(failure { try move.harness.pass() }?.class == .conflict)
    try move.giveUp()
  }

  /// What is made stays empty until the final pass; then the run is given up.
  static func isGivenUp(_ move: Move) throws {
    try move.harness.prepare()
    try move.harness.pass()
    #expect(failure { try move.harness.call(.destination, .activate) }?.class == .precondition, "nothing is in it yet")
    try move.harness.pass(final: true)
    try move.giveUp()
  }

  @Test("an engine that is restarted while it is written to fails the pass, and the same pass again makes it right")
  func restart() throws {
    let (from, to) = (try Pair.of(.docker).from, try TestEngine(.docker, isNetworked: true))
    let name = Engines.name("distant")
    try from.run("volume", "create", name)
    for index in 0..<40 { try Descriptor.open("\(from.mountpoint(name))/\(index)", O_WRONLY | O_CREAT).write(AwkwardTree.noise(1 << 20)) }
    let relay = TestRelay(after: 10 << 20) {
      to.stop()
      try? to.start()
    }
    let move = try move(from, name, to, port: relay.listen(before: to.port))
    try move.harness.prepare()
    try move.harness.pass()
    let failure = failure { try move.harness.pass(final: true) }
    #expect(failure?.class == .retry && relay.isDone, "\(failure?.description ?? "no error")")
    #expect(PluginHarness.failure { try move.harness.call(.destination, .activate) }?.class == .precondition)
    move.harness.killBoth()
    try waitFor("the engine to be back", seconds: 120) { relay.isOver }
    unlink("\(try from.mountpoint(name))/7")
    try move.harness.pass(final: true)
    #expect(try move.harness.digest(.source) == move.harness.digest(.destination))
    try move.harness.call(.destination, .activate)
    #expect(try TreeComparison.differences(from.mountpoint(name), to.mountpoint(name), ignoring: [.flags, .times]) == [])
  }

  @Test("at the source one is read through the engine; of Podman owners are lost, and it is said before")
  func podmanSource() throws {
    let (from, to) = (try Self.the(.podman), try Pair.of(.podman).to)
    let name = Engines.name("distant")
    try from.run("volume", "create", name)
    _ = try AwkwardTree(at: from.mountpoint(name), [.names, .modes, .owners, .times, .hardLinks, .links, .sizes])
    try Self.nameLikeASystem(from.mountpoint(name))
    chmod(try from.mountpoint(name), 0o2750)
    let move = try Move(
      "volume", (from, ["volume": .string(name), "engine": .string(from.network)]), (to, ["volume": .string(name)]))
    #expect(try move.notices(.source, "warning").contains { $0.contains("owners, fractions of seconds") })
    try move.run()
    let found = try TreeComparison.differences(
      from.mountpoint(name), to.mountpoint(name), ignoring: [.flags, .owners, .times, .attributes, .accessLists, .holes])
    #expect(found.filter { !$0.contains("a link's link") && !$0.contains("fifo again") } == [], "of Podman these are names of their own")
  }
}
