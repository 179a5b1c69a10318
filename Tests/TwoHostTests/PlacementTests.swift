import Ferry
import FerrySystem
import HostSupport
import RunSupport
import TestSupport
import Testing

@Suite("A run works the same wherever its controller is", .enabled(if: TestHosts.available)) struct PlacementTests {
  @Test(
    "a move between hosts ends with the destination serving all that was accepted",
    arguments: [(["b"], false), (["a"], false), (["a", "b"], false), (["b"], true), (["a", "b"], true)])
  func move(remote: [String], ipv6: Bool) async throws {
    let world = try World(hosts: remote, ipv6: ipv6)
    let result = try await world.run(world.manifest())
    #expect(result.exit == .done, "\(result.error?.description ?? "")")
    #expect(try world.complaints(serving: "b") == [])
    #expect(!Files.exists(world.folder("a/ledger")))
    #expect(try world.record(result.run, .source)?.state == .retired)
    #expect(try world.record(result.run, .destination)?.state == .active)
    let receipt = try #require(result.receipt)
    for (name, node) in [("a", receipt.source), ("b", receipt.destination)] where remote.contains(name) { #expect(node.host == name) }
  }

  @Test("check and plan visit both hosts and leave nothing there")
  func plan() async throws {
    let world = try World(hosts: ["a", "b"])
    let plan = try await world.engine.plan(world.manifest())
    #expect(!plan.phases.isEmpty)
    for name in ["a", "b"] { #expect(Files.names(in: world.home(name)) == [], "\(name)") }
    try waitFor("the agents have ended") { world.processes() == [] }
  }

  @Test("a run that fails goes back over ssh as it does here")
  func back() async throws {
    let world = try World(hosts: ["a", "b"])
    try world.folder.write("fail-start-b", "")
    let result = try await world.run(world.manifest { $0.services[0].startTimeout = .seconds(5) })
    #expect(result.status == .undone && result.exit == .failed, "\(result)")
    #expect(try world.complaints(serving: "a") == [])
    #expect(try world.record(result.run, .source)?.state == .serving)
  }
}
