@testable import Ferry
import FerrySystem
import HostSupport
import TestSupport
import Testing

/// What clients see of a container that is moved while they use it.
@Suite(
  "A container moves between hosts while it is used",
  .enabled(if: TestHosts.available && TestEngine.available && Needs.tree != nil)) struct ServingTests
{
  @Test(
    "Redis under writes: each accepted one is there once, and the client sees one outage, no longer than the one that is reported",
    arguments: TestEngine.Kind.allCases)
  func redis(_ kind: TestEngine.Kind) throws {
    let hosts = try EngineHosts(#require(Needs.tree), kind)
    try hosts.run("a", "\(kind) import '\(RedisImage.archive(hosts.folder))' redis")
    // The engine itself would look at its health only after a minute.
    try hosts.run(
      "a",
      "\(kind) run --detach --name store --network host --volume store-data:/data --workdir /data --restart unless-stopped "
        + "--health-cmd '/bin/redis-cli -e ping' --health-interval 60s redis /bin/redis-server --appendonly yes --protected-mode no")
    let client = try RedisClient(["a", "b"].map { try hosts.hosts[$0].address })
    try waitFor("writes before the move") { client.accepted.count > 50 }
    let outcome = try hosts.ferry(on: "a", "move", "\(kind):store", hosts.hosts["b"].node, "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    let seen = client.accepted.count
    try waitFor("writes after the move") { client.accepted.count > seen + 50 }
    let attempts = client.end()

    let kept = try hosts.run("b", "\(kind) exec store /bin/redis-cli lrange \(RedisClient.list) 0 -1").split(separator: "\n").compactMap {
      Int($0)
    }
    #expect(kept == kept.sorted() && Set(kept).count == kept.count, "in their order, and none twice")
    #expect(Set(attempts.filter(\.accepted).map(\.number)).subtracting(kept) == [], "none is lost")
    #expect(try hosts.inventory("a").allSatisfy { $0.hasPrefix("image ") })

    // One outage: accepted, then refused, then accepted.
    let first = try #require(attempts.firstIndex { !$0.accepted })
    let last = try #require(attempts.lastIndex { !$0.accepted })
    #expect(first > 0 && last < attempts.count - 1 && !attempts[first...last].contains { $0.accepted })
    // What was refused from its beginning to its end lies within what is reported: nobody was refused before or after.
    let events = outcome.events
    let stop = try #require(events.last { $0.kind == .phaseBegan && $0.phase == .quiesce }?.at)
    let up = try #require(events.last { $0.kind == .service && $0.side == .destination && $0.text == "healthy" }?.at)
    #expect(attempts[first].ended > stop && attempts[last].began < up)
    let result = try JSONValue(parsing: String(outcome.output.split(separator: "\n").last ?? ""))
    let total = try #require(result["receipt"]?["outage"]?["total"]).decode(Double.self)
    let refused = attempts[last].began - attempts[first].ended
    #expect(refused <= total, "the client saw \(refused) s, and \(total) s are reported")
    #expect(total < refused + 30, "the client saw \(refused) s, and \(total) s are reported")
    print("\(kind), Redis: \(total) s reported, \(refused) s seen, \(kept.count) writes")
  }

  @Test(
    "a web server with files changed, deleted and added in its layer serves the same on the other host", arguments: TestEngine.Kind.allCases
  )
  func web(_ kind: TestEngine.Kind) throws {
    let hosts = try EngineHosts(#require(Needs.tree), kind)
    try hosts.run("a", "\(kind) run --detach --name site --network host --stop-signal KILL box /bin/busybox httpd -f -p 8080 -h /image")
    try hosts.run(
      "a",
      "\(kind) exec site /bin/sh -c 'cd /image; echo edited > changed; rm gone; rm -r folder; mkdir folder; echo added > folder/new; chmod 600 mode'"
    )
    func page(_ host: String, _ path: String) throws -> String {
      try Command(
        ["curl", "--silent", "--max-time", "10", "--write-out", " %{http_code}", "http://\(hosts.hosts[host].address):8080/\(path)"],
        timeout: .seconds(30)
      ).run().output
    }
    let paths = ["changed", "gone", "folder/new", "folder/deep/file", "kept"]
    try waitFor("the site") { try page("a", "kept").hasSuffix(" 200") }
    let before = try paths.map { try page("a", $0) }
    #expect(before.map { $0.suffix(3) } == ["200", "404", "200", "404", "200"] && before[0].hasPrefix("edited"))
    let outcome = try hosts.ferry(on: "a", "move", "\(kind):site", hosts.hosts["b"].node, "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    try waitFor("the site at b") { try page("b", "kept").hasSuffix(" 200") }
    #expect(try paths.map { try page("b", $0) } == before)
    #expect(try hosts.run("b", "\(kind) exec site /bin/ls -l /image/mode").hasPrefix("-rw-------"))
    #expect(try page("a", "kept").hasSuffix(" 000"), "nobody serves at the source any more")
  }
}
