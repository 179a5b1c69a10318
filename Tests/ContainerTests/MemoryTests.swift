import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

@Suite("Memory of containers", .enabled(if: TestEngine.available), .serialized) struct MemoryTests {
  @Test("a counter in memory goes on counting at the destination, without a gap")
  func goesOn() throws {
    let (from, to) = try Pair.of(.podman)
    let (name, folder) = (Pair.name("counter"), try TemporaryFolder())
    try Counting.start(from, name)
    let harness = try Counting.harness(from, to, name, folder)
    for side in Side.allCases {
      let report = try harness.call(side, .check)
      #expect(report["notices"]?.array?.contains { $0["severity"]?.string == "error" } != true, "\(report.text)")
      #expect(report["versions"]?["criu"]?.string?.hasPrefix("4") == true)
    }
    var last = 0
    let digests = try harness.moveUntilVerified { last = try Counting.numbers(from, name).count }
    #expect(digests.source["root"] == digests.destination["root"])
    #expect(try from.run("container", "inspect", "--format", "{{.State.Running}}", name) == "false")
    for _ in 0..<2 { try harness.call(.destination, .activate) }
    try waitFor("the counter to go on") { try Counting.numbers(to, name).count > last + 50 }
    // Its own file, which came with the checkpoint, has every number once.
    let all = try Counting.numbers(to, name)
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
    try Counting.start(from, name)
    let harness = try Counting.harness(from, to, name, folder, podman: ["/bin/sh", "-c", "echo Error: no >&2; exit 1"])
    var last = 0
    _ = try harness.moveUntilVerified { last = try Counting.numbers(from, name).count }
    #expect(failure { try harness.call(.destination, .activate) }?.message.contains("restore` failed: Error: no") == true)
    harness.killBoth()
    for call in [ProviderCall.deactivate, .discard] { try harness.call(.destination, call) }
    for _ in 0..<2 { try harness.call(.source, .thaw) }
    try harness.call(.source, .discard)
    try waitFor("the counter to go on") { try Counting.numbers(from, name).count > last + 50 }
    let all = try Counting.numbers(from, name)
    #expect(all == Array(1...max(1, all.count)))
    #expect(try to.inventory(name) == [])
  }

  @Test("an older kernel at the destination is a warning, and an equal or newer one is none") func kernels() throws {
    let (from, to) = try Pair.of(.podman)
    let (name, folder) = (Pair.name("kernel"), try TemporaryFolder())
    try Counting.start(from, name)
    let harness = try Counting.harness(from, to, name, folder)
    let there = try #require(harness.call(.destination, .check)["abilities"])
    func warnings(of kernel: String) throws -> [String] {
      var (abilities, host) = (there.object ?? [:], there["host"]?.object ?? [:])
      host["kernel"] = .string(kernel)
      abilities["host"] = .object(host)
      let report = try harness.call(.source, .check, ["abilities": .object(abilities)])
      return report["notices"]?.array?.filter { $0["severity"]?.string == "warning" }.compactMap { $0["text"]?.string }
        .filter { $0.contains("kernel") && $0.contains("older") } ?? []
    }
    let here = try #require(there["host"]?["kernel"]?.string)
    #expect(try warnings(of: "4.19.0-27-amd64").first?.hasPrefix("the destination's kernel 4.19.0-27-amd64 is older than \(here)") == true)
    #expect(try warnings(of: here) == [] && warnings(of: "99.0") == [])
  }

  @Test("a volume that would be at another path is refused before anything is stopped") func places() throws {
    let (from, to) = try Pair.of(.podman)
    let (name, folder) = (Pair.name("placed"), try TemporaryFolder())
    try Counting.start(from, name, ["--volume", "\(name)-data:/data"])
    try to.run("volume", "create", "\(name)-data")
    let harness = try Counting.harness(from, to, name, folder)
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
