import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite("Tracked volumes", .enabled(if: TestEngine.available)) struct TrackingTests {
  private func volume(_ kind: TestEngine.Kind, files: Int = 300) throws -> (move: Move, name: String, folder: String) {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("tracked")
    try from.run("volume", "create", name)
    let folder = try from.mountpoint(name)
    try Files.makeFolder("\(folder)/many", mode: 0o755)
    for index in 0..<files { try write("\(folder)/many/\(index)", "\(index)") }
    return (try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)])), name, folder)
  }

  private func write(_ path: String, _ text: String) throws {
    try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644).write(Array(text.utf8))
  }

  @Test(
    "the last pass looks only at what containers and others changed, and all depths of the proof have one root",
    arguments: TestEngine.Kind.allCases)
  func tracked(_ kind: TestEngine.Kind) throws {
    let (move, name, folder) = try volume(kind)
    let from = try Pair.of(kind).from
    try from.start(name, ["--volume", "\(name):/data"])
    try move.harness.prepare()
    try move.harness.pass()
    // A container sees the volume in a mount of its own.
    try from.run("exec", name, "/bin/sh", "-c", "echo changed > /data/many/7; rm /data/many/8; mv /data/many/9 /data/nine; mkdir /data/new")
    try write("\(folder)/new/from outside", "x")
    let last = try move.harness.pass(final: true)
    let looked = try #require(last.sent["entries"]?.int)
    // Where the machine is so busy that the queue ran over, all was looked at, and the log says so.
    #expect(looked < 20 || move.harness.log.contains("everything is looked at"), "\(looked) \(move.harness.log)")
    var roots: Set<String> = []
    for depth in ["tracked", "sweep", "full"] {
      for side in Side.allCases { roots.insert(try move.harness.call(side, .digest, ["depth": .string(depth)])["root"]?.string ?? "none") }
    }
    #expect(roots.count == 1)
    try from.run("stop", "--time", "5", name)
  }

  @Test("what a frozen service has written through a map is moved, though nothing tells of it")
  func frozen() throws {
    let (move, name, folder) = try volume(.docker, files: 10)
    let file = try Descriptor.open("\(folder)/mapped", O_RDWR | O_CREAT, mode: 0o644)
    #expect(ftruncate(file.number, 65536) == 0)
    let map = try #require(mmap(nil, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0))
    defer { munmap(map, 65536) }
    map.storeBytes(of: 1, as: UInt8.self)
    try move.harness.prepare()
    for round in UInt8(2)..<4 {
      map.storeBytes(of: round, as: UInt8.self)
      try move.harness.pass()
    }
    // The service is held in memory from here on, its last write done.
    map.storeBytes(of: 99, toByteOffset: 40_000, as: UInt8.self)
    try move.harness.pass(final: true)
    #expect(try move.harness.digest(.source, full: true) == move.harness.digest(.destination, full: true))
    try move.harness.call(.destination, .activate)
    #expect(try Files.read("\(Pair.of(.docker).to.mountpoint(name))/mapped")[40_000] == 99)
  }

  @Test("a volume that was removed and made anew between passes is looked at as a whole", arguments: TestEngine.Kind.allCases)
  func another(_ kind: TestEngine.Kind) throws {
    let (move, name, folder) = try volume(kind, files: 20)
    let from = try Pair.of(kind).from
    try move.harness.prepare()
    try move.harness.pass()
    try from.run("volume", "rm", name)
    try from.run("volume", "create", name)
    try write("\(folder)/only", "x")
    try move.harness.pass()
    try write("\(folder)/late", "x")
    try move.harness.pass(final: true)
    #expect(try move.harness.digest(.source) == move.harness.digest(.destination))
    try move.harness.call(.destination, .activate)
    #expect(try Files.names(in: Pair.of(kind).to.mountpoint(name)) == ["late", "only"])
  }

  @Test("with `track: false` everything is looked at")
  func untracked() throws {
    let (from, to) = try Pair.of(.docker)
    let (_, name, _) = try volume(.docker, files: 30)
    let move = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]), keys: ["track": false])
    try move.harness.prepare()
    try move.harness.pass()
    #expect(try move.harness.pass(final: true).sent["entries"]?.int == 32)
    for engine in [from, to] { try engine.run("create", "--name", name, "--network", "none", "box", "/bin/sh") }
    for index in 0..<30 { try write("\(from.upper(name))/\(index)", "x") }
    let layer = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name)]), keys: ["track": false])
    try layer.harness.prepare()
    try layer.harness.pass()
    #expect(try layer.harness.pass(final: true).sent["entries"]?.int == 31)
  }
}
