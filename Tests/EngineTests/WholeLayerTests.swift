import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// The storage driver vfs keeps whole file systems and no layers.
@Suite("Layers at engines that keep whole file systems", .enabled(if: TestEngine.available)) struct WholeLayerTests {
  static let docker = Result { try TestEngine(.docker, driver: "vfs") }
  static let podman = Result { try TestEngine(.podman, driver: "vfs") }
  private func engine(_ kind: TestEngine.Kind) throws -> TestEngine { try (kind == .docker ? Self.docker : Self.podman).get() }

  /// The folder that a container sees.
  private func folder(_ engine: TestEngine, _ name: String) throws -> String {
    let id = try engine.run("container", "inspect", "--format", "{{.Id}}", name)
    let layer: String
    switch engine.kind {
    case .docker: layer = String(decoding: try Files.read(engine.folder("data/image/vfs/layerdb/mounts/\(id)/mount-id")), as: UTF8.self)
    case .podman:
      let known = try JSONValue(parsing: String(decoding: Files.read(engine.folder("data/vfs-containers/containers.json")), as: UTF8.self))
      layer = try #require(known.array?.first { $0["id"]?.string == id }?["layer"]?.string)
    }
    return engine.folder("data/vfs/dir/\(layer)")
  }

  @Test(
    "everything arrives, deletions too, upon the image's own content; a final pass may be repeated", arguments: TestEngine.Kind.allCases)
  func moves(_ kind: TestEngine.Kind) throws {
    let (from, to) = (try Pair.of(kind).from, try engine(kind))
    let name = Engines.name("whole")
    try from.start(name, script: LayerTests.changes + "\n" + RootlessLayerTests.more)
    let upper = try from.upper(name)
    for command in [
      ["setfattr", "-n", "user.note", "-v", "ours", "\(upper)/added/program"],
      ["setfattr", "-n", "trusted.note", "-v", "ours", "\(upper)/added/program"],
      ["truncate", "--size", "3M", "\(upper)/added/holes"],
    ] { #expect(try Command(command).run().succeeded) }
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name), "image": "box"]))
    #expect(try move.notices(.source) == [] && move.notices(.destination) == [])
    try move.harness.prepare()
    try move.harness.pass()
    try from.run("exec", name, "/bin/sh", "-c", "echo again > /image/changed; rm /image/mode; touch /last")
    #expect(failure { try move.harness.call(.destination, .activate) }?.message.contains("does not hold all") == true)
    try move.harness.pass(final: true)
    #expect(try move.harness.digest(.source) == move.harness.digest(.destination))
    // The deadline passed, the service went on, and is stopped once more: by another process, that knows what is on disk.
    try from.run("exec", name, "/bin/sh", "-c", "rm /last; echo final > /final; mkdir /image/mode; touch /image/mode/inside")
    try from.run("stop", "--time", "5", name)
    move.harness.kill(.destination)
    try move.harness.pass(final: true)
    for full in [false, true] {
      #expect(try move.harness.digest(.source, full: full) == move.harness.digest(.destination, full: full))
    }
    let before = try folder(to, name)
    let old = try identity(before)
    for _ in 0..<2 { try move.harness.call(.destination, .activate) }
    #expect(try folder(to, name) == before && identity(before) != old)
    #expect(try move.harness.digest(.destination, full: true, target: "active") == move.harness.digest(.source, full: true))
    let (there, here) = (try from.contents(name), try to.contents(name))
    #expect(there.filter { !here.contains($0) } == [])
    #expect(here.filter { !there.contains($0) } == [])
    let marks = try Command(["getfattr", "-R", "-d", "-m", "-", "--absolute-names", before]).run().output
    #expect(marks.contains("user.note=\"ours\"") && marks.contains("trusted.note=\"ours\"") && !marks.contains("overlay"))
    var status = stat()
    #expect(stat("\(before)/added/holes", &status) == 0 && status.st_size == 3 << 20 && status.st_blocks == 0)
    try to.run("start", name)
    try waitFor("the container") { (try? to.run("exec", name, "test", "-e", "/final")) != nil }
    // A destination that has served is not what was received, whatever it wrote.
    try to.run("exec", name, "touch", "/image/folder/more")
    #expect(failure { _ = try move.harness.digest(.destination, full: true, target: "active") }?.message.contains("differs") == true)
    try to.run("stop", "--time", "5", name)
    try move.release()
    let id = try #require(before.split(separator: "/").last)
    #expect(Files.names(in: Files.parent(of: before)).filter { $0.contains(id) && $0.contains("ferry") } == [])
    try to.run("rm", name)
  }

  @Test(
    "one that exists is replaced if that is said, its own changes are not mixed in, and come back when the run is given up",
    arguments: TestEngine.Kind.allCases)
  func replaces(_ kind: TestEngine.Kind) throws {
    let (from, to) = (try Pair.of(kind).from, try engine(kind))
    let name = Engines.name("whole")
    try from.start(name, script: "echo new > /new; rm /image/gone")
    try from.run("stop", "--time", "5", name)
    try to.start(name, script: "echo theirs > /theirs; rm /image/kept")
    func move(_ keys: [String: JSONValue] = [:]) throws -> Move {
      try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name)]), keys: keys)
    }
    #expect(try move().notices(.destination).first?.contains("changes of its own") == true)
    let replacing = try move(["replace": true])
    _ = try replacing.harness.moveUntilVerified()
    #expect(failure { try replacing.harness.call(.destination, .activate) }?.message.contains("its layer is in use") == true)
    try to.run("stop", "--time", "5", name)
    let theirs = try to.contents(name)
    try replacing.harness.call(.destination, .activate)
    #expect(try to.contents(name) == from.contents(name))
    try replacing.giveUp()
    #expect(try to.contents(name) == theirs)
    try to.run("rm", name)
  }

  private func identity(_ path: String) throws -> UInt64 {
    var status = stat()
    guard stat(path, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(path)") }
    return UInt64(status.st_ino)
  }

  @Test("moves to and fro leave the image and what was changed", arguments: TestEngine.Kind.allCases)
  func toAndFro(_ kind: TestEngine.Kind) throws {
    let (one, two) = (try Pair.of(kind).from, try engine(kind))
    let name = Engines.name("traveller")
    try one.start(name, script: "rm /image/gone; echo 0 > /visits")
    try one.run("stop", "--time", "5", name)
    let images = try two.run("images", "--all", "--quiet")
    for number in 1...6 {
      let (from, to) = number % 2 == 1 ? (one, two) : (two, one)
      let place = try number % 2 == 1 ? from.upper(name) : folder(from, name)
      try Descriptor.open("\(place)/visits", O_WRONLY | O_APPEND).write(Array("\(number)\n".utf8))
      let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name), "image": "box"]))
      try move.run()
      try move.release()
      try move.harness.call(.source, .retire)
    }
    let layer = try one.upper(name)
    #expect(try String(decoding: Files.read("\(layer)/visits"), as: UTF8.self).split(separator: "\n").count == 7)
    #expect(Files.names(in: "\(layer)/image") == ["gone"], "what did not change is not in the layer")
    #expect(try two.run("images", "--all", "--quiet") == images)
    try one.run("rm", name)
  }
}
