import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite("Tracked layers", .enabled(if: TestEngine.available)) struct TrackedLayerTests {
  /// A container with 300 files of its own and a few of each other kind of change.
  private func layer(_ kind: TestEngine.Kind, keys: [String: JSONValue] = [:]) throws -> (move: Move, name: String) {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("tracked")
    try from.start(
      name,
      script: """
        mkdir /many; i=0; while [ $i -lt 300 ]; do echo $i > /many/$i; i=$((i + 1)); done
        rm /image/gone /image/linked; mkdir -p /own/deep; echo there > /own/deep/file
        echo first > /held
        """)
    return (try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name), "image": "box"]), keys: keys), name)
  }

  /// Linux tells who watches a layer's folder of what is written through its overlay since 6.5; before, each pass looks at all.
  static let isTold: Bool = {
    let release = (try? Files.read("/proc/sys/kernel/osrelease")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    let parts = release.split { !$0.isNumber }.compactMap { Int($0) }
    return parts.count > 1 && (parts[0], parts[1]) >= (6, 5)
  }()

  @Test(
    "the last pass looks only at what the container changed: content, metadata, deletions, folders made anew, moves, what came from the image",
    arguments: TestEngine.Kind.allCases)
  func tracked(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let (move, name) = try layer(kind)
    try move.harness.prepare()
    #expect(try (move.harness.pass().sent["entries"]?.int ?? 0) > 300)
    try from.run(
      "exec", name, "/bin/sh", "-c",
      """
      echo in place >> /many/7; rm /many/8; mv /many/9 /nine; chmod 4711 /many/10
      rm /image/changed; rm -r /image/folder; mkdir -p /image/folder/deep; echo new > /image/folder/deep/new
      chmod 600 /image/kept; mv /own/deep /own/moved; echo two > /two; ln /two /own/names; touch /.wh.name
      """)
    let last = try move.harness.pass(final: true)
    let looked = try #require(last.sent["entries"]?.int)
    if Self.isTold {
      #expect(!move.harness.log.contains("is not learned of"))
      // Where the machine is so busy that the queue ran over, all was looked at, and the log says so.
      #expect(looked < 40 || move.harness.log.contains("everything is looked at"), "\(looked) \(move.harness.log)")
    } else {
      #expect(looked > 300 && move.harness.log.contains("is not learned of"))
    }
    var roots: Set<String> = []
    for depth in ["tracked", "sweep", "full"] {
      for side in Side.allCases { roots.insert(try move.harness.call(side, .digest, ["depth": .string(depth)])["root"]?.string ?? "none") }
    }
    #expect(roots.count == 1)
    try from.run("stop", "--time", "5", name)
    try move.harness.call(.destination, .activate)
    #expect(try TreeComparison.differences(from.upper(name), to.upper(name), ignoring: [.flags, .systemAttributes]) == [])
    try to.run("start", name)
    try waitFor("the container") { try to.call("exec", name, "test", "-e", "/nine").succeeded }
    let seen = try to.run("exec", name, "/bin/sh", "-c", "cat /many/7; ls /image /image/folder/deep /own/moved; test ! -e /many/8")
    #expect(
      seen == "7\nin place\n/image:\nfolder\nkept\nlinked-too\nmode\nrenamed\nreplaced\n\n/image/folder/deep:\nnew\n\n/own/moved:\nfile")
  }

  @Test("a container that is stopped and started between passes leaves no gap", arguments: TestEngine.Kind.allCases)
  func restarted(_ kind: TestEngine.Kind) throws {
    let from = try Pair.of(kind).from
    let (move, name) = try layer(kind)
    try move.harness.prepare()
    try move.harness.pass()
    try from.run("exec", name, "/bin/sh", "-c", "echo again >> /held; echo before > /many/1")
    try from.run("stop", "--time", "5", name)
    try from.run("start", name)
    try waitFor("the container") { try from.call("exec", name, "test", "-e", "/ready").succeeded }
    try from.run("exec", name, "/bin/sh", "-c", "echo after > /many/2; rm /image/replaced/old")
    try from.run("stop", "--time", "5", name)
    let last = try move.harness.pass(final: true)
    let looked = try #require(last.sent["entries"]?.int)
    #expect(!Self.isTold || looked < 20 || move.harness.log.contains("everything is looked at"), "\(looked) \(move.harness.log)")
    #expect(try move.harness.digest(.source, full: true) == move.harness.digest(.destination, full: true))
  }

  /// Writes through a map when it is told where, from inside a container's mounts.
  private static let mapper = """
    import ctypes, mmap, os, sys
    namespace = os.open('/proc/' + sys.argv[1] + '/ns/mnt', os.O_RDONLY)
    assert ctypes.CDLL(None, use_errno=True).setns(namespace, 0x20000) == 0
    file = open('/mapped', 'w+b'); file.truncate(65536); mapped = mmap.mmap(file.fileno(), 65536); file.close()
    for line in iter(sys.stdin.readline, ''):
      mapped[int(line)] = 99; os.write(1, b'+')
    """

  @Test("what a frozen service has written through a map of a file of its layer is moved, though nothing tells of it")
  func mapped() throws {
    let (from, to) = try Pair.of(.docker)
    let (move, name) = try layer(.docker)
    let process = try from.run("container", "inspect", "--format", "{{.State.Pid}}", name)
    let (input, output) = (try Descriptor.pipe(), try Descriptor.pipe())
    let child = try ChildProcess.spawn(
      ["python3", "-c", Self.mapper, process], descriptors: [0: input.read.number, 1: output.write.number, 2: 2])
    defer {
      input.write.close()
      child.wait()
    }
    output.write.close()
    func write(at place: Int) throws {
      try input.write.write(Array("\(place)\n".utf8))
      #expect(try output.read.read(upTo: 1) == [0x2b])
    }
    try write(at: 1)
    try move.harness.prepare()
    for place in [2, 5000] {
      try write(at: place)
      try move.harness.pass()
    }
    // The service is held in memory from here on, its last write done.
    try write(at: 40_000)
    let looked = try #require(try move.harness.pass(final: true).sent["entries"]?.int)
    #expect(!Self.isTold || looked < 20 || move.harness.log.contains("everything is looked at"), "\(looked)")
    #expect(try move.harness.digest(.source, full: true) == move.harness.digest(.destination, full: true))
    try from.run("stop", "--time", "5", name)
    try move.harness.call(.destination, .activate)
    #expect(try Files.read("\(to.upper(name))/mapped")[40_000] == 99)
  }

  @Test("an entry that only points into the image and appears between passes ends the pass that meets it")
  func references() throws {
    let (from, to) = try Pair.of(.docker)
    let name = Engines.name("pointing")
    for engine in [from, to] { try engine.run("create", "--name", name, "--network", "none", "box", "/bin/sh") }
    let folder = try from.upper(name)
    try Files.makeFolder("\(folder)/here")
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name)]))
    try move.harness.prepare()
    try move.harness.pass()
    #expect(try Command(["setfattr", "-n", "trusted.overlay.redirect", "-v", "/image", "\(folder)/here"]).run().succeeded)
    let failed = failure { try move.harness.pass() }
    #expect(failed?.class == .unsupported && failed?.message.contains("only points at what is in its image: here") == true)
  }
}
