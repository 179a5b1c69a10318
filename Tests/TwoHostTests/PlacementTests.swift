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

  @Test("two hosts that cannot reach each other are joined through the controller's ssh")
  func relay() async throws {
    let world = try World(hosts: ["a", "b"])
    try world.hosts?.cut("a", "b")
    let result = try await world.run(world.manifest())
    #expect(result.exit == .done, "\(result.error?.description ?? "")")
    #expect(try world.complaints(serving: "b") == [])
  }

  @Test("a run brings ferry along to hosts that have none", .enabled(if: Needs.tree != nil))
  func deployed() async throws {
    let world = try World(hosts: ["a", "b"], installed: Needs.tree)
    let result = try await world.run(world.manifest())
    #expect(result.exit == .done, "\(result.error?.description ?? "")")
    #expect(try world.complaints(serving: "b") == [])
    for host in world.hosts?.hosts ?? [] { #expect(Files.names(in: "\(host.folder)/cache/ferry").count == 1) }
  }

  @Test("the command on a host moves what is there to another one")
  func fromTheSource() throws {
    let world = try World(hosts: ["a", "b"])
    let host = try #require(try world.hosts?["a"])
    let manifest = try world.manifestFile().replacing("world.yaml", with: "from-a.yaml")
    let text = try world.folder.read("world.yaml").replacing(world.node("a").node, with: "local")
    try world.folder.write("from-a.yaml", text)
    var command = try host.command(["/usr/local/bin/ferry", "run", manifest, "--json"])
    command.environment["FERRY_SSH_CONFIG"] = world.configuration.sshConfig
    let outcome = try command.run()
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(400))")
    #expect(try world.complaints(serving: "b") == [])
    #expect(Files.names(in: "\(host.folder)/home/.cache/ferry").contains("plugins"), "what the controller keeps is the host's")
  }
}
