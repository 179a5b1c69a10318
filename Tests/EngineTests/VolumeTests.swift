import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite("Volumes", .enabled(if: TestEngine.available)) struct VolumeTests {
  func write(_ engine: TestEngine, _ volume: String, _ name: String, _ text: String) throws {
    try Descriptor.open("\(engine.mountpoint(volume))/\(name)", O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644).write(Array(text.utf8))
  }

  @Test("awkward things in a volume arrive as they are", arguments: TestEngine.Kind.allCases)
  func awkward(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("awkward")
    try from.run("volume", "create", "--label", "app=\(name)", "--label", "odd= a=b ", name)
    let tree = try AwkwardTree(at: from.mountpoint(name))
    let move = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string("\(name)-2")]))
    #expect(try move.notices(.source) == [] && move.notices(.destination) == [])
    try move.run { try tree.rework() }
    #expect(try TreeComparison.differences(from.mountpoint(name), to.mountpoint("\(name)-2")) == [])
    try move.release()
    #expect(Files.names(in: Files.parent(of: try to.mountpoint("\(name)-2"))) == ["_data"])
    let labels = try JSONValue(parsing: to.run("volume", "inspect", "--format", "{{json .Labels}}", "\(name)-2"))
    #expect(labels == ["app": .string(name), "odd": " a=b "])
  }

  @Test(
    "all volumes of a container move in one item; anonymous ones get names, and a mount that differs is told",
    arguments: TestEngine.Kind.allCases)
  func volumesFrom(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("web")
    try from.start(
      name, ["--volume", "\(name)-data:/data", "--volume", "/var/lib/odd place", "--volume", "\(name)-ro:/ro:ro"],
      script: "echo inside > /data/file; echo anonymous > '/var/lib/odd place/file'")
    try write(from, "\(name)-ro", "file", "read only")
    try to.run("create", "--name", "\(name)-2", "--network", "none", "--volume", "\(name)-b-ro:/ro", "box", "/bin/sh")
    let move = try Move(
      "volume", (from, ["volumes-from": .string(name)]),
      (to, ["volumes-from": .string("\(name)-2"), "names": ["/ro": .string("\(name)-b-ro")]]))
    #expect(try move.notices(.source) == [])
    try move.run()
    #expect(try Files.read("\(to.mountpoint("\(name)-data"))/file") == Array("inside\n".utf8))
    #expect(try Files.read("\(to.mountpoint("\(name)-2-var-lib-odd_place"))/file") == Array("anonymous\n".utf8))
    #expect(try Files.read("\(to.mountpoint("\(name)-b-ro"))/file") == Array("read only".utf8))
    #expect(
      move.harness.log.contains(
        "does not mount \(name)-b-ro at /ro as at the source; make it with --mount type=volume,src=\(name)-b-ro,dst=/ro,readonly"))
    try move.release()
    // A stranger finds them by the container's mounts and by names.
    let stranger = try Move("volume", (from, ["volumes-from": .string(name)]), (to, ["volumes": [.string("\(name)-data")]]))
    _ = try stranger.harness.call(.destination, .digest, ["target": "active", "algorithm": "xxh3-128", "offer": [:]])
  }

  @Test("a label selects, and a prefix renames: NethServer's rootful modules", arguments: TestEngine.Kind.allCases)
  func labels(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("dokuwiki")
    for part in ["data", "conf", "empty"] {
      try from.run("volume", "create", "--label", "module=\(name)", "\(name)-\(part)")
      if part != "empty" { try write(from, "\(name)-\(part)", "file", part) }
    }
    try from.run("volume", "create", "\(name)-other")
    let move = try Move(
      "volume", (from, ["label": .string("module=\(name)")]), (to, ["prefixes": .object(["\(name)-": .string("\(name)b-")])]))
    let root = try move.run { try write(from, "\(name)-data", "later", "later") }
    let there = try to.run("volume", "ls", "--quiet").split(separator: "\n").filter { $0.hasPrefix("\(name)b-") }.sorted()
    #expect(there == ["\(name)b-conf", "\(name)b-data", "\(name)b-empty"])
    #expect(Files.names(in: try to.mountpoint("\(name)b-data")) == ["file", "later"])
    // The listing names each entry under its volume.
    _ = try move.harness.digest(.destination, full: true, target: "active", listing: move.folder("listing"))
    let listed = try move.folder.read("listing").split(separator: "\n").compactMap { $0.split(separator: "\t").last }
    #expect(listed.contains("\(name)b-data/later") && listed.contains("\(name)b-empty") && listed.count == 6)
    #expect(try move.harness.digest(.source, full: true)["root"]?.string == root)
    for _ in 0..<2 {
      move.harness.kill(.source)
      try move.harness.call(.source, .retire)
    }
    let left = try from.run("volume", "ls", "--quiet").split(separator: "\n").filter { $0.hasPrefix(name) }
    #expect(left == ["\(name)-other"])
  }

  @Test(
    "a volume that exists is refused unless it may be replaced, and comes back when the run is given up",
    arguments: TestEngine.Kind.allCases)
  func replaces(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("replaced")
    for engine in [from, to] { try engine.run("volume", "create", name) }
    try write(from, name, "new", "new")
    try write(to, name, "precious", "precious")
    let refused = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]))
    #expect(try refused.notices(.destination).first?.contains("exists and is not empty") == true)
    try refused.harness.prepare()
    #expect(failure { try refused.harness.pass() }?.class == .conflict)
    try refused.giveUp()
    #expect(Files.names(in: try to.mountpoint(name)) == ["precious"])
    let allowed = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]), keys: ["replace": true])
    #expect(try allowed.notices(.destination) == [])
    try allowed.run()
    #expect(Files.names(in: try to.mountpoint(name)) == ["new"])
    try allowed.giveUp()
    #expect(Files.names(in: try to.mountpoint(name)) == ["precious"])
    #expect(Files.names(in: Files.parent(of: try to.mountpoint(name))) == ["_data"])
  }

  @Test(
    "of a volume that is a mount of something else only the definition moves, and its content is never touched",
    arguments: TestEngine.Kind.allCases)
  func shared(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("shared")
    let storage = try TemporaryFolder()
    try storage.write("only copy", "precious")
    let options = ["--opt", "type=none", "--opt", "o=bind", "--opt", "device=\(storage.path)"]
    try from.run(["volume", "create"] + options + [name])
    try from.run("volume", "create", "\(name)-plain")
    try write(from, "\(name)-plain", "file", "plain")
    // Mounted, so that whoever removes the folder of the volume would remove the only copy.
    try from.start("\(name)-user", ["--volume", "\(name):/data"])
    let move = try Move(
      "volume", (from, ["volumes": [.string(name), .string("\(name)-plain")]]),
      (to, ["volumes": [.string(name), .string("\(name)-plain")]]))
    #expect(try move.notices(.source, "warning").first?.contains("only the definition is moved") == true)
    try move.run()
    let made = try JSONValue(parsing: to.run("volume", "inspect", "--format", "{{json .Options}}", name))
    #expect(made["device"]?.string == storage.path && made["o"]?.string == "bind")
    func isWhole() throws -> Bool { try storage.read("only copy") == "precious" && Files.names(in: storage.path) == ["only copy"] }
    #expect(try isWhole())
    try to.start("\(name)-there", ["--volume", "\(name):/data"])
    #expect(try to.run("exec", "\(name)-there", "cat", "/data/only copy") == "precious")
    try to.run("stop", "--time", "5", "\(name)-there")
    try move.giveUp()
    #expect(try isWhole())
    #expect(try !to.call("volume", "inspect", "\(name)-plain").succeeded, "what was made for the run is gone")
    #expect(try to.call("volume", "inspect", name).succeeded, "a definition of what is shared is never removed")
    // Once more, forward: what is defined alike is no conflict, and retire leaves it.
    let again = try Move(
      "volume", (from, ["volumes": [.string(name), .string("\(name)-plain")]]),
      (to, ["volumes": [.string(name), .string("\(name)-plain")]]))
    try again.run()
    for _ in 0..<2 { try again.harness.call(.source, .retire) }
    #expect(try isWhole())
    #expect(try from.call("volume", "inspect", name).succeeded && !from.call("volume", "inspect", "\(name)-plain").succeeded)
    // Another definition under that name is somebody else's.
    let other = Engines.name("other")
    try from.run(["volume", "create"] + options + [other])
    try to.run("volume", "create", other)
    let conflict = try Move("volume", (from, ["volume": .string(other)]), (to, ["volume": .string(other)]), keys: ["replace": true])
    try conflict.harness.prepare()
    #expect(failure { try conflict.harness.pass() }?.class == .conflict)
  }

  @Test("nothing is written into a volume of the destination whose content is stored elsewhere", arguments: TestEngine.Kind.allCases)
  func sharedTarget(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("target")
    let storage = try TemporaryFolder()
    try from.run("volume", "create", name)
    try write(from, name, "file", "plain")
    try to.run("volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=\(storage.path)", name)
    let move = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]), keys: ["replace": true])
    try move.harness.prepare()
    #expect(failure { try move.harness.pass() }?.message.contains("nothing is written into the volume \(name)") == true)
    try move.giveUp()
    #expect(Files.names(in: storage.path) == [])
  }

  @Test("a volume that vanishes between passes is an error, an engine that is restarted is none", arguments: TestEngine.Kind.allCases)
  func disturbances(_ kind: TestEngine.Kind) throws {
    let (from, to) = (try TestEngine(kind), try TestEngine(kind))
    for name in ["stays", "goes"] {
      try from.run("volume", "create", name)
      try write(from, name, "file", name)
    }
    let stays = try Move("volume", (from, ["volume": "stays"]), (to, ["volume": "stays"]))
    try stays.harness.prepare()
    try stays.harness.pass()
    for engine in [from, to] {
      engine.stop()
      try engine.start()
    }
    try stays.harness.pass(final: true)
    #expect(try stays.harness.digest(.source) == stays.harness.digest(.destination))
    to.stop()
    Threads.detach { try? to.start() }
    try stays.harness.call(.destination, .activate)
    #expect(try Files.read("\(to.mountpoint("stays"))/file") == Array("stays".utf8))
    let goes = try Move("volume", (from, ["volume": "goes"]), (to, ["volume": "goes"]))
    try goes.harness.prepare()
    try goes.harness.pass()
    try from.run("volume", "rm", "goes")
    #expect(failure { try goes.harness.pass(final: true) }?.message.contains("the volume goes is gone") == true)
    try goes.giveUp()
    #expect(try !to.call("volume", "inspect", "goes").succeeded)
  }

  @Test("a destination without room is an error that leaves nothing behind", arguments: TestEngine.Kind.allCases)
  func full(_ kind: TestEngine.Kind) throws {
    let from = try Pair.of(kind).from
    let to = try TestEngine(kind, room: "40m")
    let name = Engines.name("large")
    try from.run("volume", "create", name)
    for index in 0..<8 { try write(from, name, "file-\(index)", String(repeating: "0123456789abcdef", count: 500_000)) }
    let move = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]))
    #expect(try (move.harness.call(.source, .check)["bytes"]?.int ?? 0) > (move.harness.call(.destination, .check)["room"]?.int ?? 0))
    try move.harness.prepare()
    let error = failure { try move.harness.pass() }
    #expect(error?.class == .io && error?.message.contains("No space left") == true, "\(error?.description ?? "")")
    try move.giveUp()
    #expect(try !to.call("volume", "inspect", name).succeeded)
    #expect(Files.names(in: to.folder("data/volumes")).filter { $0.contains("large") } == [])
  }

  @Test(
    "a volume that somebody runs with is neither swapped nor taken away; one of a stopped container is emptied",
    arguments: TestEngine.Kind.allCases)
  func users(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("busy")
    try from.start(name, ["--volume", "\(name):/data"], script: "echo there > /data/file")
    let move = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]))
    let digests = try move.harness.moveUntilVerified()
    #expect(digests.source == digests.destination)
    try to.start(name, ["--volume", "\(name):/data"])
    #expect(
      failure { try move.harness.call(.destination, .activate) }?.message.contains("the container \(name) runs with the volume") == true)
    try to.run("stop", "--time", "5", name)
    try move.harness.call(.destination, .activate)
    try to.run("start", name)
    #expect(try to.run("exec", name, "cat", "/data/file") == "there")
    #expect(failure { try move.harness.call(.source, .retire) }?.class == .conflict)
    #expect(try Files.names(in: from.mountpoint(name)) == ["file"])
    try from.run("stop", "--time", "5", name)
    for _ in 0..<2 { try move.harness.call(.source, .retire) }
    #expect(try Files.names(in: from.mountpoint(name)) == [])
    #expect(try to.run("exec", name, "cat", "/data/file") == "there")
  }

  @Test(
    "where Podman has no service running, one is started for the item and ends with it",
    .enabled(if: !Files.exists("/run/podman/podman.sock")))
  func ownService() throws {
    let podman = try Pair.of(.podman).from
    let name = Engines.name("served")
    for volume in [name, "\(name)-2"] { try podman.run("volume", "create", volume) }
    try write(podman, name, "file", "x")
    let folder = try TemporaryFolder()
    // The command of this machine, with the storage of the test's.
    let settings = podman.environment.map { "\($0.key)='\($0.value)'" }.joined(separator: " ")
    try folder.write("bin/podman", "#!/bin/sh\nexport \(settings)\nexec \(Programs.find("podman")) \"$@\"\n", mode: 0o755)
    let harness = try Harness(
      product: "podman-volume", provider: "podman-volume", folder: folder, from: ["volume": .string(name)],
      to: ["volume": .string("\(name)-2")], programs: folder("bin"))
    func services() throws -> Int {
      Files.names(in: "/proc").filter { Int32($0) != nil }.count { pid in
        guard let line = try? Files.read("/proc/\(pid)/cmdline") else { return false }
        return String(decoding: line, as: UTF8.self).contains(folder.path) && String(decoding: line, as: UTF8.self).contains("service")
      }
    }
    let digests = try harness.moveUntilVerified()
    #expect(digests.source == digests.destination)
    #expect(try services() == 2)
    try harness.call(.destination, .activate)
    harness.killBoth()
    try waitFor("the end of the services") { try services() == 0 }
    #expect(Files.names(in: try podman.mountpoint("\(name)-2")) == ["file"])
  }

  @Test("a volume whose folder is out of reach is read through the engine; what that loses is told before")
  func outOfReach() throws {
    let to = try Pair.of(.docker).to
    let from = try TestEngine(.docker, isNetworked: true)
    let name = Engines.name("far")
    try from.start(
      name, ["--volume", "\(name):/data"],
      script: """
        cd /data; echo one > one; ln one two; mkdir -p a/b; echo x > "a/b/new
        line"; ln -s nowhere dangling; mkfifo fifo; chmod 4711 one; chown 70000:70001 a; chmod 1777 a/b; touch a/b/.wh.none
        """)
    let move = try Move(
      "volume", (from, ["volume": .string(name), "engine": .string(from.network)]), (to, ["volume": .string(name)]))
    #expect(try move.notices(.source) == [])
    #expect(try move.notices(.source, "warning").contains { $0.contains("fractions of seconds, ACLs") })
    try move.harness.prepare()
    try move.harness.pass()
    try from.run("exec", name, "/bin/sh", "-c", "echo later > /data/later; rm /data/dangling")
    try from.run("stop", "--time", "5", name)
    try move.harness.pass(final: true)
    #expect(try move.harness.digest(.source) == move.harness.digest(.destination))
    #expect(try move.harness.digest(.source, full: true) == move.harness.digest(.destination))
    try move.harness.call(.destination, .activate)
    // But for the times all is as it was.
    #expect(try TreeComparison.differences(from.mountpoint(name), to.mountpoint(name), ignoring: [.flags, .times]) == [])
    // No helper is left.
    #expect(try from.run("ps", "--all", "--quiet").split(separator: "\n").count == 1)
    #expect(try from.run("images", "--quiet").split(separator: "\n").count == 1)
  }

  @Test("check names what is not there, and what is empty", arguments: TestEngine.Kind.allCases)
  func checks(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("nothing")
    func errors(_ keys: JSONValue, more: [String: JSONValue] = [:]) throws -> [String] {
      try Move("volume", (from, keys), (to, ["volume": "x"]), keys: more).notices(.source)
    }
    #expect(try errors(["volume": .string(name)]).first?.contains("has no volume \(name)") == true)
    #expect(try errors(["label": .string(name)]).first?.contains("has no volume with the label") == true)
    #expect(try errors(["volumes-from": .string(name)]).first?.contains("has no container") == true)
    try from.run("volume", "create", name)
    #expect(try errors(["volume": .string(name)]).first?.contains("all volumes are empty") == true)
    #expect(try errors(["volume": .string(name)], more: ["allow-empty": true]) == [])
    let strict = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]))
    #expect(failure { try strict.harness.prepare() }?.class == .precondition)
    let nobody = try Harness(
      product: "podman-volume", provider: "\(kind)-volume", folder: TemporaryFolder(),
      from: ["volume": "x", "engine": "unix:///nowhere/s"],
      to: ["volume": "x"])
    #expect(try nobody.call(.source, .check)["notices"]?.array?.first?["text"]?.string?.contains("/nowhere/s") == true)
  }
}
