@testable import Ferry
import FerrySystem
import HostSupport
import TestSupport
import Testing

@Suite("A pod moves between hosts as one", .enabled(if: TestHosts.available && TestEngine.available && Needs.tree != nil)) struct PodTests {
  /// A pod of two at `a`: one writes into a volume that the other may only read.
  private func hosts() throws -> EngineHosts {
    let hosts = try EngineHosts(#require(Needs.tree), .podman)
    try hosts.run("a", "podman pod create --name shop --network host --hostname counter --label of=shop --share ipc,net,uts,pid")
    try hosts.folder.write("script", "trap 'exit 0' TERM; n=0; while :; do n=$((n + 1)); echo $n >> /files/log; sleep 0.05; done")
    try hosts.run(
      "a",
      "podman run --detach --pod shop --name shop-writer --umask 0027 --volume shop_files:/files box /bin/sh -c \"$(cat '\(hosts.folder("script"))')\""
    )
    try hosts.run(
      "a",
      "podman run --detach --pod shop --name shop-reader --volume shop_files:/site:ro box /bin/sh -c \"trap 'exit 0' TERM; while :; do sleep 0.1; done\""
    )
    try waitFor("the pod") { try hosts.call("a", "podman exec shop-reader cat /site/log").output.split(separator: "\n").count > 3 }
    return hosts
  }

  /// The image of the container that holds the namespaces is each Podman's own, made when it is first needed.
  private func inventory(_ hosts: EngineHosts, _ host: String) throws -> [String] {
    try hosts.inventory(host).filter { $0 != "image localhost/podman-pause" }
  }

  @Test("all stop before the one last pass, the shared volume travels once, and they start in the pod that they had")
  func move() throws {
    let hosts = try hosts()
    let draft = try hosts.draftComplaint("pod:shop")
    #expect(draft == "")
    let single = try hosts.draftComplaint("podman:shop-reader")
    #expect(single == "")
    let outcome = try hosts.ferry(on: "a", "move", "pod:shop", hosts.hosts["b"].node, "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    let events = outcome.events
    let acts = events.filter { $0.kind == .service && $0.side == .source || $0.kind == .phaseBegan }.map {
      "\($0.item ?? $0.phase?.rawValue ?? "") \($0.text ?? "")"
    }
    let (stops, final) = (acts.indices.filter { acts[$0].hasSuffix("stopped") }, acts.firstIndex { $0.hasPrefix("final") })
    #expect(stops.map { acts[$0] } == ["shop-reader stopped", "shop-writer stopped"] && stops.allSatisfy { $0 < final ?? 0 }, "\(acts)")
    let passes = events.filter { $0.kind == .pass }
    #expect(passes.count { $0.item == "volumes" } == passes.count { $0.item == "shop-writer" }, "once in each pass")

    let pod = try JSONValue(parsing: hosts.run("b", "podman pod inspect shop"))
    let shown = pod.array?.first ?? pod
    #expect(shown["Hostname"]?.string == "counter" && shown["Labels"]?["of"]?.string == "shop")
    #expect(Set(shown["SharedNamespaces"]?.array?.compactMap(\.string) ?? []) == ["ipc", "net", "uts", "pid"])
    #expect(shown["Containers"]?.array?.count == 3)
    try waitFor("the pod at b") { try hosts.call("b", "podman exec shop-reader cat /site/log").succeeded }
    let log = try hosts.run("b", "podman exec shop-reader cat /site/log").split(separator: "\n").compactMap { Int($0) }
    // It counts anew after each start, and what it had counted is there.
    let restart = try #require(log.lastIndex(of: 1))
    #expect(restart > 3 && log[..<restart] == Array(1...restart)[...])
    #expect(try !hosts.call("b", "podman exec shop-reader touch /site/new").succeeded)
    #expect(try hosts.run("b", "podman exec shop-writer /bin/busybox hostname") == "counter\n")
    #expect(try hosts.run("b", "podman inspect --format '{{.Config.Umask}}' shop-writer") == "0027\n")
    #expect(try inventory(hosts, "a") == ["image localhost/box"])
  }

  @Test("a run that fails once all has its real name leaves no pod at the destination, and the pod goes on at the source")
  func back() throws {
    let hosts = try hosts()
    let outcome = try hosts.ferry(
      on: "a", fault: "destination-agent@activate/start@destination intended", "move", "pod:shop", hosts.hosts["b"].node, "--json")
    #expect(outcome.code == 1, "\(outcome.reason) \(outcome.output.suffix(3000))")
    #expect(try inventory(hosts, "b") == [])
    let before = try hosts.run("a", "podman exec shop-reader cat /site/log")
    try waitFor("it to count at a") { try hosts.run("a", "podman exec shop-reader cat /site/log") != before }
  }
}
