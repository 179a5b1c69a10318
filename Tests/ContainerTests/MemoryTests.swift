import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

@Suite("Memory of containers", .enabled(if: TestEngine.available), .serialized) struct MemoryTests {
  /// Counts in a variable of a shell, and nowhere else: what it writes it never reads.
  private func start(_ engine: TestEngine, _ name: String, _ options: [String] = []) throws {
    let script = "i=0; while :; do i=$((i + 1)); echo $i >> /all; sleep 0.02; done"
    try engine.run(["run", "--detach", "--network", "none", "--name", name] + options + ["box", "/bin/sh", "-c", script])
    try waitFor("the counter") { try numbers(engine, name).count > 5 }
  }

  /// What it has counted.
  private func numbers(_ engine: TestEngine, _ name: String) throws -> [Int] {
    try engine.call("exec", name, "cat", "/all").output.split(separator: "\n").compactMap { Int($0) }
  }

  private func harness(
    _ from: TestEngine, _ to: TestEngine, _ name: String, _ folder: TemporaryFolder, podman: [String]? = nil,
    keys: [String: JSONValue] = [:]
  ) throws
    -> Harness
  {
    func end(_ engine: TestEngine) -> JSONValue {
      let call = ["env"] + engine.environment.map { "\($0.key)=\($0.value)" }.sorted() + ["podman"]
      return ["container": .string(name), "engine": .string(engine.address), "podman": .array(call.map { .string($0) })]
    }
    var target = end(to)
    if let podman { target["podman"] = .array(podman.map { .string($0) }) }
    return try Harness(
      product: "container", provider: "podman-container", folder: folder, from: end(from), to: target,
      keys: keys.merging(["live": true]) { $1 },
      programs: try TestCriu.folder())
  }

  @Test("a counter in memory goes on counting at the destination, without a gap")
  func goesOn() throws {
    let (from, to) = try Pair.of(.podman)
    let (name, folder) = (Pair.name("counter"), try TemporaryFolder())
    try start(from, name)
    let harness = try harness(from, to, name, folder)
    for side in Side.allCases {
      let report = try harness.call(side, .check)
      #expect(report["notices"]?.array?.contains { $0["severity"]?.string == "error" } != true, "\(report.text)")
      #expect(report["versions"]?["criu"]?.string?.hasPrefix("4") == true)
    }
    var last = 0
    let digests = try harness.moveUntilVerified { last = try numbers(from, name).count }
    #expect(digests.source["root"] == digests.destination["root"])
    #expect(try from.run("container", "inspect", "--format", "{{.State.Running}}", name) == "false")
    for _ in 0..<2 { try harness.call(.destination, .activate) }
    try waitFor("the counter to go on") { try numbers(to, name).count > last + 50 }
    // Its own file, which came with the checkpoint, has every number once.
    let all = try numbers(to, name)
    #expect(all == Array(1...max(1, all.count)) && all.count > last)
    for side in Side.allCases { try harness.call(side, .release) }
    try harness.call(.source, .retire)
    #expect(try !from.call("container", "inspect", name).succeeded)
    #expect(Files.names(in: folder.path).allSatisfy { !Files.exists(folder("\($0)/tmp/checkpoint.tar")) })
  }

  @Test("a restore that fails leaves nothing at the destination, and the source goes on from its checkpoint")
  func fails() throws {
    let (from, to) = try Pair.of(.podman)
    let (name, folder) = (Pair.name("returning"), try TemporaryFolder())
    try start(from, name)
    let harness = try harness(from, to, name, folder, podman: ["/bin/sh", "-c", "echo Error: no >&2; exit 1"])
    var last = 0
    _ = try harness.moveUntilVerified { last = try numbers(from, name).count }
    #expect(failure { try harness.call(.destination, .activate) }?.message.contains("restore` failed: Error: no") == true)
    harness.killBoth()
    for call in [ProviderCall.deactivate, .discard] { try harness.call(.destination, call) }
    for _ in 0..<2 { try harness.call(.source, .thaw) }
    try harness.call(.source, .discard)
    try waitFor("the counter to go on") { try numbers(from, name).count > last + 50 }
    let all = try numbers(from, name)
    #expect(all == Array(1...max(1, all.count)))
    #expect(try to.inventory(name) == [])
  }

  @Test("a volume that would be at another path is refused before anything is stopped") func places() throws {
    let (from, to) = try Pair.of(.podman)
    let (name, folder) = (Pair.name("placed"), try TemporaryFolder())
    try start(from, name, ["--volume", "\(name)-data:/data"])
    try to.run("volume", "create", "\(name)-data")
    let harness = try harness(from, to, name, folder)
    try harness.prepare()
    #expect(failure { try harness.pass() }?.message.contains("processes go on with what is at the same path") == true)
    #expect(try from.run("container", "inspect", "--format", "{{.State.Running}}", name) == "true")
  }

  @Test("Docker cannot take memory along, and check says what can be done instead") func docker() throws {
    let (from, to) = try Pair.of(.docker)
    let name = Pair.name("standing")
    try from.start(name)
    let move = try Move(from, to, name, keys: ["live": true])
    for side in Side.allCases {
      #expect(try move.notices(side) == ["Docker cannot take a running container to another host: its checkpoints cannot leave it"])
    }
  }
}
