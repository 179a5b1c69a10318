import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

@Suite("Memory of containers", .enabled(if: TestEngine.available), .serialized) struct MemoryTests {
  /// A criu that this kernel knows, below .build.
  private static let criu = Result {
    let outcome = try Command(["\(Products.repository)/Scripts/criu"], timeout: .seconds(600)).run()
    guard outcome.succeeded, let folder = outcome.output.split(separator: "\n").last else {
      throw FerryError(.internal, "Scripts/criu: \(outcome.errors)")
    }
    return String(folder)
  }

  /// Counts in a variable of a shell, and nowhere else: what it writes it never reads.
  private func start(_ engine: TestEngine, _ name: String) throws {
    let script = "i=0; while :; do i=$((i + 1)); echo $i > /data/now; echo $i >> /all; sleep 0.02; done"
    try engine.run("run", "--detach", "--network", "none", "--name", name, "--volume", "\(name)-data:/data", "box", "/bin/sh", "-c", script)
    try waitFor("the counter") { try count(engine, name) > 5 }
  }

  private func count(_ engine: TestEngine, _ name: String) throws -> Int {
    let file = "\(try engine.mountpoint("\(name)-data"))/now"
    let text = String(decoding: (try? Files.read(file)) ?? [], as: UTF8.self)
    return Int(text.filter { !$0.isWhitespace }) ?? 0
  }

  private func harness(_ from: TestEngine, _ to: TestEngine, _ name: String, _ folder: TemporaryFolder, podman: [String]? = nil) throws
    -> Harness
  {
    func end(_ engine: TestEngine) -> JSONValue {
      let call = ["env"] + engine.environment.map { "\($0.key)=\($0.value)" }.sorted() + ["podman"]
      return ["container": .string(name), "engine": .string(engine.address), "podman": .array(call.map { .string($0) })]
    }
    var target = end(to)
    if let podman { target["podman"] = .array(podman.map { .string($0) }) }
    return try Harness(
      product: "container", provider: "podman-memory", folder: folder, from: end(from), to: target, programs: try Self.criu.get())
  }

  @Test("a counter in memory goes on counting at the destination, without a gap")
  func goesOn() throws {
    let (from, to) = try Pair.of(.podman)
    let (name, folder) = (Pair.name("counter"), try TemporaryFolder())
    try start(from, name)
    try to.run("volume", "create", "\(name)-data")
    let harness = try harness(from, to, name, folder)
    for side in Side.allCases {
      let report = try harness.call(side, .check)
      #expect(report["notices"]?.array?.contains { $0["severity"]?.string == "error" } != true, "\(report.text)")
      #expect(report["versions"]?["criu"]?.string?.hasPrefix("4") == true)
    }
    let digests = try harness.moveUntilVerified()
    #expect(digests.source["root"] == digests.destination["root"])
    let last = try count(from, name)
    #expect(try from.run("container", "inspect", "--format", "{{.State.Running}}", name) == "false")
    for _ in 0..<2 { try harness.call(.destination, .activate) }
    try waitFor("the counter to go on") { try count(to, name) > last + 5 }
    // Its own file, which came with the checkpoint, has every number once.
    let all = try to.run("exec", name, "cat", "/all").split(separator: "\n").compactMap { Int($0) }
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
    try to.run("volume", "create", "\(name)-data")
    let harness = try harness(from, to, name, folder, podman: ["/bin/sh", "-c", "echo Error: no >&2; exit 1"])
    _ = try harness.moveUntilVerified()
    let last = try count(from, name)
    #expect(failure { try harness.call(.destination, .activate) }?.message.contains("restore` of \(name) failed: Error: no") == true)
    harness.killBoth()
    for call in [ProviderCall.deactivate, .discard] { try harness.call(.destination, call) }
    for _ in 0..<2 { try harness.call(.source, .thaw) }
    try harness.call(.source, .discard)
    try waitFor("the counter to go on") { try count(from, name) > last + 5 }
    let all = try from.run("exec", name, "cat", "/all").split(separator: "\n").compactMap { Int($0) }
    #expect(all == Array(1...max(1, all.count)))
    #expect(try to.inventory(name) == [])
  }
}
