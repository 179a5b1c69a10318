import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite("Layers", .enabled(if: TestEngine.available)) struct LayerTests {
  /// Each thing that a container can do to its image, once.
  static let changes = """
    cd /image
    rm gone; echo changed > changed; chmod 4711 mode; chmod 700 folder
    rm -r folder/deep; mkdir folder/deep; echo new > folder/deep/new
    rm -r replaced; echo 'a file now' > replaced
    mv renamed /moved
    rm linked; mkdir -p /added/deep; ln kept /added/link; ln /bin/busybox /image/zz; echo x > "/added/new
    line"; touch "/added/ blank "; mkfifo /added/fifo; ln -s nowhere /added/dangling; chmod 3777 /added/deep
    """

  @Test("everything that a container changed arrives in one made from the same image", arguments: TestEngine.Kind.allCases)
  func moves(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("layer")
    try from.start(name, ["--env", "COLOUR=green", "--volume", "\(name)-data:/data"], script: Self.changes + "\necho inside > /data/file")
    // What a container cannot make itself goes in from outside, once it is down.
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name), "image": "box"]))
    #expect(try move.notices(.source) == [] && move.notices(.destination) == [])
    #expect(try move.notices(.source, "warning").contains { $0.contains("mounted at /data is not part of the layer") })
    try move.harness.prepare()
    try move.harness.pass()
    try from.run("exec", name, "/bin/sh", "-c", "echo again > /image/changed; rm /image/mode; touch /last")
    try from.run("stop", "--time", "5", name)
    try move.harness.pass(final: true)
    #expect(try move.harness.digest(.source) == move.harness.digest(.destination))
    try move.harness.call(.destination, .activate)
    let (there, here) = (try from.contents(name), try to.contents(name))
    #expect(there.filter { !here.contains($0) } == [])
    #expect(here.filter { !there.contains($0) } == [])
    #expect(try TreeComparison.differences(from.upper(name), to.upper(name), ignoring: [.flags, .systemAttributes]) == [])
    #expect(try to.run("container", "inspect", "--format", "{{json .Config.Env}}", name).contains("COLOUR=green"))
    try to.run("start", name)
    try waitFor("the container") { try to.call("exec", name, "test", "-e", "/last").succeeded }
    let seen = try to.run(
      "exec", name, "/bin/sh", "-c", "cat /image/changed /image/replaced /image/folder/deep/new; ls /image /image/folder/deep; ls /data")
    #expect(
      seen == "again\na file now\nnew\n/image:\nchanged\nfolder\nkept\nlinked-too\nreplaced\nzz\n\n/image/folder/deep:\nnew", "\(seen)")
    try move.release()
    for _ in 0..<2 { try move.harness.call(.source, .retire) }
    #expect(try !from.call("container", "inspect", name).succeeded)
    #expect(try Files.names(in: from.mountpoint("\(name)-data")) == ["file"], "volumes are not the layer's")
  }

  @Test("awkward things in a layer arrive as they are", arguments: TestEngine.Kind.allCases)
  func awkward(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("awkward")
    for engine in [from, to] { try engine.run("create", "--name", name, "--network", "none", "box", "/bin/sh") }
    // Never started, so nobody has it mounted.
    let tree = try AwkwardTree(at: "\(from.upper(name))/awkward")
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name)]))
    #expect(try move.notices(.source) == [] && move.notices(.destination) == [])
    try move.run { try tree.rework() }
    // The kernel has written about its own mounts on the layer's root.
    #expect(try TreeComparison.differences("\(from.upper(name))/awkward", "\(to.upper(name))/awkward") == [])
  }

  @Test("after twenty moves there are still the image and one layer", arguments: TestEngine.Kind.allCases)
  func twenty(_ kind: TestEngine.Kind) throws {
    let (one, two) = try Pair.of(kind)
    let name = Engines.name("traveller")
    try one.run("create", "--name", name, "--network", "none", "box", "/bin/sh")
    try Descriptor.open("\(one.upper(name))/visits", O_WRONLY | O_CREAT).write([])
    func layers(_ engine: TestEngine) throws -> Int {
      try engine.run("container", "inspect", "--format", "{{.GraphDriver.Data.LowerDir}}", name).split(separator: ":").count
    }
    func image(_ engine: TestEngine) throws -> String { try engine.run("container", "inspect", "--format", "{{.Image}}", name) }
    let (before, depth) = (try image(one), try layers(one))
    for number in 1...20 {
      let (from, to) = number % 2 == 1 ? (one, two) : (two, one)
      let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name), "image": "box"]))
      try Descriptor.open("\(from.upper(name))/visits", O_WRONLY | O_APPEND).write(Array("\(number)\n".utf8))
      try move.run()
      try move.release()
      try move.harness.call(.source, .retire)
    }
    #expect(try String(decoding: Files.read("\(one.upper(name))/visits"), as: UTF8.self).split(separator: "\n").count == 20)
    #expect(try image(one) == before && one.run("image", "inspect", "--format", "{{.Id}}", "box") == before)
    #expect(try layers(one) == depth)
  }

  @Test(
    "a container is made as at the source: program, mounts and their modes, volumes under their new names",
    arguments: TestEngine.Kind.allCases)
  func definition(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("made")
    let shared = try TemporaryFolder()
    try from.run(
      "create", "--name", name, "--network", "none", "--volume", "\(name)-data:/data:ro", "--volume", "/anonymous", "--volume",
      "\(name)-labelled:/labelled:ro,z", "--volume", "\(shared.path):/bound:ro", "--label", "a=b",
      "--workdir", "/tmp", "--entrypoint", "/bin/ls", "box", "-l", "/")
    try Descriptor.open("\(from.upper(name))/file", O_WRONLY | O_CREAT).write([1])
    let move = try Move(
      "layer", (from, ["container": .string(name)]),
      (to, ["container": .string(name), "image": "box", "mounts": ["/anonymous": .string("\(name)-named")]]))
    try move.run()
    func told(_ engine: TestEngine, _ format: String) throws -> String { try engine.run("container", "inspect", "--format", format, name) }
    for format in ["{{json .Config.Entrypoint}}", "{{json .Config.Cmd}}", "{{json .Config.WorkingDir}}", "{{index .Config.Labels \"a\"}}"] {
      #expect(try told(from, format) == told(to, format))
    }
    let mounts = try JSONValue(parsing: told(to, "{{json .Mounts}}")).array ?? []
    func mount(_ place: String) -> JSONValue? { mounts.first { $0["Destination"]?.string == place } }
    #expect(mount("/data")?["Name"]?.string == "\(name)-data" && mount("/data")?["RW"]?.bool == false)
    #expect(mount("/anonymous")?["Name"]?.string == "\(name)-named" && mount("/anonymous")?["RW"]?.bool == true)
    // The engine gives the content the container's label, where there are labels.
    #expect(mount("/labelled")?["Mode"]?.string?.contains("z") == true && mount("/labelled")?["RW"]?.bool == false)
    #expect(mount("/bound")?["Source"]?.string == shared.path && mount("/bound")?["RW"]?.bool == false)
    try move.giveUp()
    #expect(try !to.call("container", "inspect", name).succeeded, "what was made for the run is gone")
  }

  @Test("a layer is not put upon another image, over another layer, or below what runs", arguments: TestEngine.Kind.allCases)
  func refusals(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("refused")
    try from.start(name, script: "echo mine > /mine")
    func move(_ keys: JSONValue, _ more: [String: JSONValue] = [:]) throws -> Move {
      try Move("layer", (from, ["container": .string(name)]), (to, keys), keys: more)
    }
    #expect(try move(["container": .string(name)]).notices(.destination).first?.contains("has no container") == true)
    #expect(
      try move(["container": .string(name), "image": "nothing"]).notices(.destination).first?.contains("has no image nothing") == true)
    let folder = try TemporaryFolder()
    try folder.write("root/file", "another")
    _ = try Command(["tar", "-C", folder("root"), "-cf", folder("other.tar"), "."]).run()
    try to.run("import", folder("other.tar"), "other")
    let other = try move(["container": .string(name), "image": "other"])
    try other.harness.prepare()
    #expect(failure { try other.harness.pass() }?.message.contains("made from another image") == true)
    try other.giveUp()
    #expect(try !to.call("container", "inspect", name).succeeded)
    try to.start(name, script: "echo theirs > /theirs")
    let changed = try move(["container": .string(name)])
    #expect(try changed.notices(.destination).first?.contains("changes of its own") == true)
    let running = try move(["container": .string(name)], ["replace": true])
    #expect(try running.notices(.destination, "warning").contains { $0.contains("runs") })
    _ = try running.harness.moveUntilVerified()
    #expect(failure { try running.harness.call(.destination, .activate) }?.message.contains("its layer is in use") == true)
    #expect(try to.run("exec", name, "cat", "/theirs") == "theirs")
    try to.run("stop", "--time", "5", name)
    try running.harness.call(.destination, .activate)
    #expect(try Files.exists("\(to.upper(name))/mine") && !Files.exists("\(to.upper(name))/theirs"))
    try running.giveUp()
    #expect(try Files.exists("\(to.upper(name))/theirs") && !Files.exists("\(to.upper(name))/mine"))
    try to.run("start", name)
    try waitFor("the container") { try to.call("exec", name, "cat", "/theirs").succeeded }
  }

  @Test("an image with no program in it is enough", arguments: TestEngine.Kind.allCases)
  func bare(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("bare")
    let folder = try TemporaryFolder()
    try folder.write("root/only", "a file")
    _ = try Command(["tar", "--mtime=@0", "-C", folder("root"), "-cf", folder("bare.tar"), "."]).run()
    for engine in [from, to] { try engine.run("import", folder("bare.tar"), name) }
    try from.run("create", "--name", name, "--network", "none", name, "/only")
    try folder.write("added", "added")
    try from.run("cp", folder("added"), "\(name):/added")
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name), "image": .string(name)]))
    try move.run()
    let (there, here) = (try from.contents(name), try to.contents(name))
    #expect(there.filter { !here.contains($0) } == [])
    #expect(here.filter { !there.contains($0) } == [])
    #expect(try to.contents(name).contains { $0.hasSuffix(" added") })
  }

  @Test(
    "a layer that is no overlay's folder, or points into its image, is read through the engine and arrives as an overlay's",
    arguments: ["docker vfs", "podman vfs", "podman metacopy"])
  func mirror(_ which: String) throws {
    let kind: TestEngine.Kind = which.hasPrefix("docker") ? .docker : .podman
    let from =
      which.hasSuffix("vfs")
      ? try TestEngine(kind, driver: "vfs")
      : try TestEngine(kind, storage: "[storage.options.overlay]\nmountopt = \"metacopy=on,redirect_dir=on\"")
    let to = try Pair.of(kind).to
    let name = Engines.name("mirror")
    try from.start(name, ["--volume", "\(name)-data:/data"], script: Self.changes + "\necho not the layer > /data/file")
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name), "image": "box"]))
    #expect(try move.notices(.source) == [])
    #expect(try move.notices(.source, "warning").contains { $0.contains("read through the engine") })
    try move.harness.prepare()
    try move.harness.pass()
    try from.run("exec", name, "/bin/sh", "-c", "echo again > /image/changed; rm /image/mode; touch /last")
    try from.run("stop", "--time", "5", name)
    try move.harness.pass(final: true)
    #expect(try move.harness.digest(.source) == move.harness.digest(.destination))
    #expect(try move.harness.digest(.source, full: true) == move.harness.digest(.destination))
    try move.harness.call(.destination, .activate)
    let (there, here) = (try from.contents(name), try to.contents(name))
    #expect(there.filter { !here.contains($0) } == [])
    #expect(here.filter { !there.contains($0) } == [])
    try to.run("start", name)
    try waitFor("the container") { try to.call("exec", name, "test", "-e", "/last").succeeded }
    #expect(
      try to.run("exec", name, "/bin/sh", "-c", "cat /image/changed; ls /image/folder/deep /moved /data")
        == "again\n/data:\n\n/image/folder/deep:\nnew\n\n/moved:\ninside")
  }
}
