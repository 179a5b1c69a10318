import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite("Images of containers", .enabled(if: TestEngine.available)) struct ImageTests {
  /// An image of two layers more than `box`, of `size` random bytes each, and a container of it.
  private func make(_ engine: TestEngine, _ name: String, size: Int) throws {
    var image = "box"
    for layer in 1...2 {
      let builder = "\(name)-\(layer)"
      try engine.run("create", "--name", builder, "--network", "none", image, "/bin/sh")
      let folder = try TemporaryFolder()
      let random = try Descriptor.open("/dev/urandom", O_RDONLY)
      let file = try Descriptor.open(folder("content"), O_WRONLY | O_CREAT)
      for _ in 0..<(size >> 16) { try file.write(random.read(upTo: 1 << 16)) }
      try engine.run("cp", folder("content"), "\(builder):/content-\(layer)")
      image = "\(name):\(layer)"
      try engine.run("commit", builder, image)
      try engine.run("rm", builder)
    }
    try engine.run("create", "--name", name, "--network", "none", image, "/bin/sh")
  }

  private func layers(_ engine: TestEngine, _ image: String) throws -> JSONValue {
    try JSONValue(parsing: engine.run("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
  }

  @Test(
    "only the layers that the destination lacks travel; the same image arrives under its name, and goes with a run that is given up",
    arguments: TestEngine.Kind.allCases)
  func travels(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Pair.name("image")
    try make(from, name, size: 2 << 20)
    let before = try to.inventory(name)
    let move = try Move(from, to, name)
    try move.harness.prepare()
    let sent = try move.harness.pass().sent["bytes"]?.int ?? 0
    // The two upper layers, not the box below them, which is there.
    #expect(sent > 4 << 20 && sent < 5 << 20, "\(sent) bytes")
    try move.harness.pass(final: true)
    #expect(try move.differences() == [])
    #expect(try layers(from, "\(name):2") == layers(to, "\(name):2"))
    #expect(
      try from.run("image", "inspect", "--format", "{{.Id}}", "\(name):2") == to.run("image", "inspect", "--format", "{{.Id}}", "\(name):2")
    )
    let id = try to.run("image", "inspect", "--format", "{{.Id}}", "\(name):2")
    try move.giveUp()
    #expect(try to.inventory(name) == before && !to.call("image", "inspect", id).succeeded)

    // With the lower one of the two there, the upper one is enough.
    let second = try Move(from, to, name)
    try from.run("save", "--output", move.folder("lower.tar"), "\(name):1")
    try to.run("load", "--input", move.folder("lower.tar"))
    try second.harness.prepare()
    let more = try second.harness.pass().sent["bytes"]?.int ?? 0
    #expect(more > 2 << 20 && more < 3 << 20, "\(more) bytes")
    try second.giveUp()
    #expect(try to.call("image", "inspect", "\(name):1").succeeded, "what was there before stays")

    // With all of them there, nothing.
    try from.run("save", "--output", move.folder("all.tar"), "\(name):2")
    try to.run("load", "--input", move.folder("all.tar"))
    let third = try Move(from, to, name)
    try third.harness.prepare()
    #expect(try third.harness.pass().sent["bytes"]?.int == 0)
    try third.giveUp()
    #expect(try to.call("image", "inspect", "\(name):2").succeeded)
  }

  @Test("an engine without any image gets all of it, and its containers run", arguments: TestEngine.Kind.allCases)
  func whole(_ kind: TestEngine.Kind) throws {
    let from = try Pair.of(kind).from
    let bare = try TestEngine(kind)
    try bare.run("rmi", "box")
    let name = Pair.name("whole")
    try from.start(name)
    let move = try Move(from, bare, name)
    try move.run()
    #expect(try bare.run("images", "--quiet").split(separator: "\n").count == 1)
    try bare.run("start", name)
    try waitFor("the container") { try bare.call("exec", name, "cat", "/image/kept").succeeded }
    #expect(try bare.run("exec", name, "cat", "/image/kept") == "kept of the image")
  }

  @Test("a name that is another image's at the destination stays with that one", arguments: TestEngine.Kind.allCases)
  func taken(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Pair.name("taken")
    try make(from, name, size: 1 << 16)
    try to.run("tag", "box", "\(name):2")
    let move = try Move(from, to, name)
    try move.run()
    #expect(try layers(to, "\(name):2") == layers(to, "box"))
    #expect(try layers(to, to.run("container", "inspect", "--format", "{{.Image}}", name)) == layers(from, "\(name):2"))
    #expect(move.harness.log.contains("is another image here"))
    try move.giveUp()
    #expect(try to.call("image", "inspect", "\(name):2").succeeded)
  }
}
