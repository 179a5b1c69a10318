import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// What happens to a run when its ground gives way. `VolumeTests` has a full disk and an engine that is restarted between passes.
@Suite("Disturbances", .enabled(if: TestEngine.available)) struct DisturbanceTests {
  private func write(_ path: String, _ text: String) throws {
    try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644).write(Array(text.utf8))
  }

  @Test(
    "a file that the disk cannot read is named and left out while passes run, fails the final one, and arrives once it can be read",
    .enabled(if: LoopFileSystem.works(.btrfs), "btrfs cannot be mounted"), arguments: TestEngine.Kind.allCases)
  func unreadable(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("rotten")
    try from.run("volume", "create", name)
    let folder = try from.mountpoint(name)
    let storage = try TemporaryFolder()
    let disk = try LoopFileSystem(.btrfs, in: storage, on: folder, megabytes: 200)
    defer { disk.unmount() }
    try write("\(folder)/good", "good")
    let text = "@\(name) is what the bad one holds"
    try write("\(folder)/bad", text + String(repeating: ".", count: 100_000))
    let move = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]))
    try disk.rot(text, of: "\(folder)/bad")
    try move.harness.prepare()
    let hot = try move.harness.pass()
    #expect(hot.sent["unread"]?.array?.contains { $0.string?.contains("bad") == true } == true, "\(hot.sent.text)")
    let final = failure { try move.harness.pass(final: true) }
    #expect(final?.class == .io && final?.message.contains("bad") == true, "\(final?.description ?? "no error")")
    try disk.rot(text, of: "\(folder)/bad")
    try move.harness.pass(final: true)
    #expect(try move.harness.digest(.source, full: true) == move.harness.digest(.destination, full: true))
    try move.harness.call(.destination, .activate)
    #expect(try TreeComparison.differences(folder, to.mountpoint(name)) == [])
    try move.giveUp()
    #expect(try !to.call("volume", "inspect", name).succeeded)
  }

  @Test(
    "a volume that is removed in the middle of the final pass fails it, and nothing of it stays at the destination",
    arguments: TestEngine.Kind.allCases)
  func vanishes(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("vanishing")
    try from.run("volume", "create", name)
    let folder = try from.mountpoint(name)
    for index in 0..<60 { try Descriptor.open("\(folder)/\(index)", O_WRONLY | O_CREAT).write(AwkwardTree.noise(1 << 20)) }
    let move = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]))
    try move.harness.prepare()
    let relay = TestRelay(after: 4 << 20) { _ = try? from.run("volume", "rm", name) }
    let failed = failure { try move.harness.pass(final: true, through: relay) }
    #expect(relay.isDone && failed != nil && failed?.class != .internal, "\(failed?.description ?? "no error")")
    #expect(failure { try move.harness.pass(final: true) }?.message.contains("is gone") == true)
    try move.giveUp()
    #expect(try !to.call("volume", "inspect", name).succeeded)
    #expect(!Files.exists("\(to.folder.path)/data/volumes/\(name)"))
  }

  @Test("a container that is removed in the middle of the final pass takes its layer along: an error, and the target is as it was")
  func layerVanishes() throws {
    let (from, to) = try Pair.of(.docker)
    let name = Engines.name("vanishing")
    for engine in [from, to] { try engine.run("create", "--name", name, "--network", "none", "box", "/bin/sh") }
    for index in 0..<60 { try Descriptor.open("\(from.upper(name))/\(index)", O_WRONLY | O_CREAT).write(AwkwardTree.noise(1 << 20)) }
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name)]))
    try move.harness.prepare()
    let relay = TestRelay(after: 4 << 20) { _ = try? from.run("rm", name) }
    let failed = failure { try move.harness.pass(final: true, through: relay) }
    #expect(relay.isDone && failed != nil && failed?.class != .internal, "\(failed?.description ?? "no error")")
    let before = Files.names(in: Files.parent(of: try to.upper(name)))
    try move.giveUp()
    #expect(Files.names(in: try to.upper(name)) == [])
    #expect(Files.names(in: Files.parent(of: try to.upper(name))) == before.filter { !$0.contains("ferry") })
  }

  @Test("an engine that is killed in the middle of a pass and comes back changes nothing about it", arguments: TestEngine.Kind.allCases)
  func restarts(_ kind: TestEngine.Kind) throws {
    let (from, to) = (try TestEngine(kind), try TestEngine(kind))
    try from.run("volume", "create", "data")
    let folder = try from.mountpoint("data")
    for index in 0..<30 { try Descriptor.open("\(folder)/\(index)", O_WRONLY | O_CREAT).write(AwkwardTree.noise(1 << 20)) }
    let move = try Move("volume", (from, ["volume": "data"]), (to, ["volume": "data"]))
    try move.harness.prepare()
    let relay = TestRelay(after: 4 << 20) {
      for engine in [from, to] {
        engine.stop()
        try? engine.start()
      }
    }
    try move.harness.pass(final: true, through: relay)
    #expect(relay.isDone)
    #expect(try move.harness.digest(.source) == move.harness.digest(.destination))
    try move.harness.call(.destination, .activate)
    #expect(try TreeComparison.differences(folder, to.mountpoint("data")) == [])
  }

  @Test(
    "a layer for which the destination has no room is an error that leaves its container as it was", arguments: TestEngine.Kind.allCases)
  func full(_ kind: TestEngine.Kind) throws {
    let (from, to) = (try Pair.of(kind).from, try TestEngine(kind, room: "40m"))
    let name = Engines.name("large")
    for engine in [from, to] { try engine.run("create", "--name", name, "--network", "none", "box", "/bin/sh") }
    let file = try Descriptor.open("\(from.upper(name))/large", O_WRONLY | O_CREAT)
    for _ in 0..<60 { try file.write(AwkwardTree.noise(1 << 20)) }
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name)]))
    try move.harness.prepare()
    let error = failure { try move.harness.pass() }
    #expect(error?.class == .io && error?.message.contains("No space left") == true, "\(error?.description ?? "")")
    try move.giveUp()
    #expect(Files.names(in: try to.upper(name)) == [])
  }

  @Test(
    "engines whose storage is on another file system give and take awkward things whole",
    arguments: [LoopFileSystem.Kind.xfs, .btrfs].filter { LoopFileSystem.works($0) })
  func disks(_ disk: LoopFileSystem.Kind) throws {
    let (from, to) = (try TestEngine(.podman, disk: disk), try Pair.of(.podman).to)
    for (one, two, name) in [(from, to, Engines.name("from")), (to, from, Engines.name("to"))] {
      try one.run("volume", "create", name)
      let tree = try AwkwardTree(at: one.mountpoint(name), crowd: 100)
      let volume = try Move("volume", (one, ["volume": .string(name)]), (two, ["volume": .string(name)]))
      // ext4 has shorter attributes than others, xfs shorter targets of links: the run would end with them.
      let tooLong = try volume.notices(.source)
      #expect(tooLong.count < 2 && tooLong.allSatisfy { $0.hasSuffix("attributes/longest") || $0.hasSuffix("links/longest") }, "\(tooLong)")
      for name in tooLong.isEmpty ? [] : ["attributes/longest", "links/longest"] { unlink("\(tree.root)/\(name)") }
      #expect(try volume.notices(.source) == [])
      try volume.run { try tree.rework() }
      // How many blocks a hole leaves is each file system's own affair.
      let volumes = try TreeComparison.differences(one.mountpoint(name), two.mountpoint(name), ignoring: [.flags, .holes])
      #expect(volumes.filter { !$0.contains("trusted.SGI_ACL") } == [], "XFS shows ACLs once more, as it keeps them")
      for engine in [one, two] { try engine.run("create", "--name", name, "--network", "none", "box", "/bin/sh") }
      let changed = try AwkwardTree(at: "\(one.upper(name))/awkward", crowd: 100)
      for name in tooLong.isEmpty ? [] : ["attributes/longest", "links/longest"] { unlink("\(changed.root)/\(name)") }
      let layer = try Move("layer", (one, ["container": .string(name)]), (two, ["container": .string(name)]))
      #expect(try layer.notices(.source) == [])
      try layer.run { try changed.rework() }
      let layers = try TreeComparison.differences(
        "\(one.upper(name))/awkward", "\(two.upper(name))/awkward", ignoring: [.flags, .holes])
      #expect(layers.filter { !$0.contains("trusted.SGI_ACL") } == [])
      #expect(try volume.harness.digest(.source, full: true) == volume.harness.digest(.destination, full: true, target: "active"))
    }
  }

  @Test(
    "what a destination cannot hold is named before anything is changed, with the first path that needs it",
    .enabled(if: LoopFileSystem.works(.small), "no loop device can be mounted"))
  func losses() throws {
    let (from, to) = (try Pair.of(.docker).from, try TestEngine(.docker, disk: .small))
    let name = Engines.name("lossy")
    try from.run("volume", "create", name)
    let folder = try from.mountpoint(name)
    let tree = try AwkwardTree(at: folder, [.flags])
    try write("\(folder)/late", "x")
    let times = [timespec(tv_sec: 0, tv_nsec: 0), timespec(tv_sec: 4_294_967_296, tv_nsec: 0)]
    #expect(utimensat(AT_FDCWD, "\(folder)/late", times, 0) == 0)
    let move = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]))
    let warnings = try move.notices(.source, "warning")
    #expect(warnings.contains { $0.contains("fractions of seconds") })
    #expect(warnings.contains { $0.contains("flags (immutable, append-only): 2, the first is flags/append-only") }, "\(warnings)")
    #expect(try move.notices(.source).contains { $0.contains("times after") })
    unlink("\(folder)/late")
    #expect(try move.notices(.source) == [])
    try move.run()
    #expect(try TreeComparison.differences(folder, to.mountpoint(name), ignoring: [.flags, .times]) == [])
    tree.release()
  }
}
