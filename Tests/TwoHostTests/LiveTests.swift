import Ferry
import FerrySystem
import HostSupport
import TestSupport
import Testing

@Suite(
  "A container moves between hosts with its memory", .serialized,
  .enabled(if: TestHosts.available && TestEngine.available && Needs.tree != nil)) struct LiveTests
{
  @Test(
    "by one command: a counter goes on counting, its layer and its volume are of the same moment, and the source is empty"
  )
  func move() throws {
    let podmans = try Podmans(#require(Needs.tree))
    try podmans.count("counter")
    let dry = try podmans.ferry(on: "a", "move", "podman:counter", podmans.hosts["b"].node, "--live", "--dry-run")
    #expect(dry.succeeded && dry.output.contains("live: true") && !dry.output.contains("services:"), "\(dry.errors)")
    #expect(dry.output.contains("does not track which of it changes") != TestCriu.tracksMemory, "\(dry.output)")
    let before = try podmans.numbers("a", "counter").count
    let outcome = try podmans.ferry(on: "a", "move", "podman:counter", podmans.hosts["b"].node, "--live", "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    #expect(try podmans.numbers("b", "counter").count > before)
    #expect(try podmans.complaints("b", "counter") == [])
    #expect(try podmans.remains("a", "counter") == "")
    #expect(try podmans.remains("b", "counter") == "container counter\nvolume counter-data\n")
    // Hot passes go on until the volume's rest is small, although no service stands in the manifest.
    let receipt = try JSONValue(parsing: String(outcome.output.split(separator: "\n").last ?? ""))["receipt"]
    #expect(receipt?["items"]?.array?.allSatisfy { ($0["passes"]?.int ?? 0) > 2 } == true, "\(receipt?.text ?? "")")
    #expect(receipt?["outage"]?["total"] != nil)
  }

  @Test("a restore that fails leaves the destination as it was, and the source goes on from its checkpoint")
  func back() throws {
    let podmans = try Podmans(#require(Needs.tree))
    try podmans.count("returning")
    try podmans.runtime("b", "for word; do [ \"$word\" != restore ] || { echo broken >&2; exit 1; }; done")
    let outcome = try podmans.ferry("run", podmans.manifest("returning"), "--json")
    #expect(outcome.code == 1 && outcome.output.contains("restore` failed"), "\(outcome.reason) \(outcome.output.suffix(3000))")
    #expect(try podmans.complaints("a", "returning") == [])
    #expect(try podmans.remains("b", "returning") == "")
    #expect(try podmans.run("b", "podman images --quiet") == "")
    // The next try, with what was wrong mended, succeeds.
    try podmans.runtime("b")
    let again = try podmans.ferry("run", podmans.manifest("returning"), "--json")
    #expect(again.succeeded, "\(again.reason) \(again.output.suffix(3000))")
    #expect(try podmans.complaints("b", "returning") == [])
    #expect(try podmans.remains("a", "returning") == "")
  }

  @Test("a copy goes on at both ends from the same moment")
  func copy() throws {
    let podmans = try Podmans(#require(Needs.tree))
    try podmans.count("twin")
    let outcome = try podmans.ferry("run", podmans.manifest("twin", mode: "copy"), "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    for host in ["a", "b"] { #expect(try podmans.complaints(host, "twin") == [], "\(host)") }
  }

  @Test("check names what keeps processes from going on there, each with what to do next")
  func check() throws {
    let podmans = try Podmans(#require(Needs.tree))
    try podmans.count("ready")
    func said(_ name: String = "ready", keys: String = "") throws -> String {
      let outcome = try podmans.ferry("check", podmans.manifest(name, keys: keys))
      return outcome.output + outcome.errors
    }
    func expect(_ words: String..., by keys: String = "", _ location: SourceLocation = #_sourceLocation) throws {
      let text = try said(keys: keys)
      #expect(words.allSatisfy { text.contains($0) }, "\(text)", sourceLocation: location)
    }
    let calm = try podmans.ferry("check", podmans.manifest("ready"))
    #expect(calm.succeeded, "\(calm.output) \(calm.errors)")
    let host = try podmans.hosts["b"]
    try podmans.criu("b", "echo 'Version: 3.17.1'; exit 0")
    try expect("criu 3.17.1 of the destination is older than 4", "install the same criu at both ends")
    try podmans.criu("b", "[ \"$1\" != check ] || { echo 'Error (criu): no such kernel' >&2; exit 1; }")
    try expect("criu does not work on this kernel", "a newer criu may know")
    try host.program("criu", "")
    _ = try podmans.run("b", "rm /usr/local/bin/criu")
    try expect("there is no criu here", "Debian's package")
    try podmans.criu("b")
    // A processor that lacks something, as the kernel would show it.
    let lost = try podmans.run("b", "grep -m 1 -E '^(flags|Features)' /proc/cpuinfo").split(separator: " ").last.map(String.init) ?? ""
    let word = lost.filter { !$0.isWhitespace }
    try podmans.run(
      "b", "sed 's/ \(word)\\b//' /proc/cpuinfo > \(host.folder)/etc/cpuinfo && mount --bind \(host.folder)/etc/cpuinfo /proc/cpuinfo")
    try expect("lacks what processes may be using: \(word)", "ignore-cpu: true")
    #expect(try !said(keys: "ignore-cpu: true").contains("lacks what processes"))
    try podmans.run("b", "umount /proc/cpuinfo")
    // Criu's own comparison comes in the first pass, before anything is stopped.
    try podmans.criu("b", "[ \"$1 $2\" != 'cpuinfo check' ] || { echo 'Error (criu): other ins' >&2; exit 1; }")
    let refused = try podmans.ferry("run", podmans.manifest("ready"), "--json")
    #expect(
      refused.code == 1 && refused.output.contains("criu says that the processor here cannot go on"), "\(refused.output.suffix(2000))")
    #expect(!refused.output.contains("\"phase\":\"quiesce\""))
    try podmans.criu("b")
    // What cannot be taken, and why.
    for (options, words) in [
      ("--rm", "its checkpoint would remove it"), ("--label PODMAN_SYSTEMD_UNIT=web.service", "the systemd unit web.service runs odd"),
      ("--pid container:ready", "shares a namespace with another container"),
    ] {
      try podmans.run(
        "a", "podman run --detach --network none --name odd --volume odd-data:/data \(options) box /bin/sh -c 'while :; do sleep 1; done'")
      #expect(try said("odd").contains(words), "\(options)")
      try podmans.run("a", "podman rm --force --time 0 odd || true")
    }
    try podmans.run("a", "podman stop --time 0 ready")
    try expect("does not run, so it has no memory to move")
    try expect("`without` cannot be said with `live: true`", by: "without: [HostConfig.Memory]")
  }

  @Test("established connections are a reason to stay, or are closed, as the manifest says")
  func connections() throws {
    let podmans = try Podmans(#require(Needs.tree))
    for host in ["a", "b"] { try podmans.makeNetwork(host) }
    let script = """
      busybox nc -ll -p 5000 -e /bin/cat &
      (while :; do echo x; sleep 0.1; done) | (while [ ! -s /got ]; do busybox nc 127.0.0.1 5000 > /got; done) &
      i=0; while :; do i=$((i + 1)); echo $i >> /all; echo $i >> /data/all; sleep 0.02; done
      """
    try podmans.start("talker", "--volume talker-data:/data", script, network: "ns:/run/netns/web")
    func isConnected(_ host: String) throws -> Bool {
      try podmans.run(host, "podman exec talker cat /proc/net/tcp").split(separator: "\n").contains { $0.contains(":1388 01 ") }
    }
    try waitFor("the connection") { try isConnected("a") }
    #expect(try podmans.ferry("check", podmans.manifest("talker")).output.contains("established connections now"))
    let refused = try podmans.ferry("run", podmans.manifest("talker"), "--json")
    #expect(refused.code == 1 && refused.output.contains("has established TCP connections, and runs on"), "\(refused.output.suffix(2000))")
    #expect(try podmans.complaints("a", "talker") == [])
    #expect(try isConnected("a") && podmans.remains("b", "talker") == "")
    let closed = try podmans.ferry("run", podmans.manifest("talker", keys: "connections: close"), "--json")
    #expect(closed.succeeded, "\(closed.reason) \(closed.output.suffix(2000))")
    #expect(try podmans.complaints("b", "talker") == [])
    #expect(try podmans.remains("a", "talker") == "")
  }

  @Test("a connection that is kept goes on between the same two processes, through the move to another host")
  func keeps() throws {
    let podmans = try Podmans(#require(Needs.tree), ["a", "b", "c"])
    // The service's address is in a network namespace of each host, which a wire of its own joins with the client's host c.
    try podmans.run("c", "ip address add 10.99.0.1/32 dev lo")
    for host in ["a", "b"] {
      try podmans.makeNetwork(host)
      let process = try #require(podmans.hosts[host].processes().first)
      try podmans.run("c", "ip link add to-\(host) type veth peer name web netns \(process) && ip link set to-\(host) up")
      try podmans.run(
        host,
        "ip link set web netns web; ip netns exec web sh -c 'ip address add 10.99.0.2/32 dev web && ip link set web up && ip route add 10.99.0.1 dev web'"
      )
    }
    try podmans.run("c", "ip route add 10.99.0.2 dev to-a src 10.99.0.1")
    let script = """
      busybox nc -ll -p 5000 -e /bin/sh -c 'i=0; while read -r line; do i=$((i + 1)); echo $i; done' &
      i=0; while :; do i=$((i + 1)); echo $i >> /all; echo $i >> /data/all; sleep 0.02; done
      """
    try podmans.start("server", "--volume server-data:/data", script, network: "ns:/run/netns/web")
    let answers = podmans.folder("answers")
    let client = try podmans.hosts["c"].command([
      "sh", "-c", "(while :; do echo x; sleep 0.02; done) | busybox nc 10.99.0.2 5000 > '\(answers)'",
    ])
    Threads.detach { _ = try? client.run() }
    func answered() -> [Int] { ((try? podmans.folder.read("answers")) ?? "").split(separator: "\n").compactMap { Int($0) } }
    try waitFor("answers") { answered().count > 10 }
    let kept = try podmans.ferry("run", podmans.manifest("server", keys: "connections: keep"), "--json")
    #expect(kept.succeeded, "\(kept.reason) \(kept.output.suffix(2000))")
    let before = answered().count
    try podmans.run("c", "ip route replace 10.99.0.2 dev to-b src 10.99.0.1")
    try waitFor("the connection to go on") { answered().count > before + 10 }
    let all = answered()
    #expect(all == Array(1...max(1, all.count)))
    #expect(try podmans.complaints("b", "server") == [])
    // Nobody sends processes twice: what is kept has one end.
    let copied = try podmans.ferry("check", podmans.manifest("server", mode: "copy", keys: "connections: keep"))
    #expect(!copied.succeeded)
  }
}
