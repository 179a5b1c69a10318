import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

extension DistantTests {
  /// In turn with those of volumes: they share two engines and count what is left there.
  @Suite("Layers of an engine out of reach") struct Layers {
    private func move(_ from: TestEngine, _ name: String, _ to: TestEngine, keys: [String: JSONValue] = [:]) throws -> Move {
      try Move(
        "layer", (from, ["container": .string(name)]),
        (to, ["container": .string(name), "image": "box", "engine": .string(to.network)]), keys: keys)
    }

    @Test(
      "everything arrives in a container that is made and never started, deletions as deletions, and a final pass may be repeated",
      arguments: TestEngine.Kind.allCases)
    func arrives(_ kind: TestEngine.Kind) throws {
      let (from, to) = (try Pair.of(kind).from, try DistantTests.the(kind))
      let name = Engines.name("distant")
      try from.start(name, script: LayerTests.changes + "\nmkdir /image/hidden; touch '/tmp/ blank '; chown 70000:70001 '/tmp/ blank '")
      let move = try move(from, name, to)
      #expect(try move.notices(.destination) == [] && move.notices(.source) == [])
      #expect(try move.notices(.destination, "warning").contains { $0.contains("the layer is written through the engine") })
      try move.harness.prepare()
      try move.harness.pass()
      try from.run("exec", name, "/bin/sh", "-c", "echo again > /image/changed; rm /image/mode; touch /last")
      try move.harness.pass(final: true)
      #expect(try move.harness.digest(.source) == move.harness.digest(.destination))
      // The deadline passed, the service went on, and is stopped once more.
      try from.run("exec", name, "/bin/sh", "-c", "rm /last; echo final > /final")
      try from.run("stop", "--time", "5", name)
      #expect(failure { try move.harness.call(.destination, .activate) } == nil, "all of an earlier pass is there")
      try move.harness.pass(final: true)
      for full in [false, true] {
        #expect(try move.harness.digest(.source, full: full) == move.harness.digest(.destination, full: full))
      }
      try move.harness.call(.destination, .activate)
      let (there, here) = (try from.contents(name), try to.contents(name))
      #expect(there.filter { !here.contains($0) } == [])
      #expect(here.filter { !there.contains($0) } == [])
      try to.run("start", name)
      try waitFor("the container") { try to.call("exec", name, "test", "-e", "/final").succeeded }
      let seen = try to.run(
        "exec", name, "/bin/sh", "-c", "cat /image/changed /image/folder/deep/new; ls /image /image/folder/deep; test ! -e /last")
      #expect(
        seen == "again\nnew\n/image:\nchanged\nfolder\nhidden\nkept\nlinked-too\nreplaced\nzz\n\n/image/folder/deep:\nnew", "\(seen)")
      #expect(
        try to.run("container", "inspect", "--format", "{{.Image}}", name) == to.run("image", "inspect", "--format", "{{.Id}}", "box"))
      try to.run("stop", "--time", "5", name)
      // No helper is left, nor its image.
      #expect(try to.run("ps", "--all", "--format", "{{.Names}}").split(separator: "\n").filter { $0.hasPrefix("ferry-helper") } == [])
      #expect(try to.run("images", "--quiet").split(separator: "\n").count == 1)
      try move.release()
      try to.run("rm", name)
    }

    @Test("a container that exists is refused, and one that was made is gone when the run is given up", arguments: TestEngine.Kind.allCases)
    func refuses(_ kind: TestEngine.Kind) throws {
      let (from, to) = (try Pair.of(kind).from, try DistantTests.the(kind))
      let name = Engines.name("distant")
      try from.run("create", "--name", name, "--network", "none", "box", "/bin/sh")
      try Descriptor.open("\(from.upper(name))/file", O_WRONLY | O_CREAT).write([1])
      try to.run("create", "--name", name, "--network", "none", "box", "/bin/sh")
      try DistantTests.isRefused(move(from, name, to, keys: ["replace": true]))
      #expect(try to.call("container", "inspect", name).succeeded, "what was not made for the run stays")
      try to.run("rm", name)
      try DistantTests.isGivenUp(move(from, name, to))
      #expect(try !to.call("container", "inspect", name).succeeded)
    }

    @Test("a destination out of reach whose storage is no overlay is refused before anything is changed")
    func otherDriver() throws {
      let (from, to) = (try Pair.of(.docker).from, try TestEngine(.docker, driver: "vfs", isNetworked: true))
      let name = Engines.name("distant")
      try from.run("create", "--name", name, "--network", "none", "box", "/bin/sh")
      let move = try move(from, name, to)
      #expect(try move.notices(.destination).first?.contains("any layer is not within reach") == true)
    }
  }
}
