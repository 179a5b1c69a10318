@testable import Ferry
import FerrySystem
import Glibc
import HostSupport
import TestSupport

/// Two hosts, `a` and `b`, with an engine of their own each, and an image `box` of a static busybox at `a`.
final class EngineHosts: HostedEngines {
  let kind: TestEngine.Kind
  let folder: TemporaryFolder
  let hosts: TestHosts
  let ferry: String

  init(_ tree: String, _ kind: TestEngine.Kind = .docker) throws {
    self.kind = kind
    folder = try TemporaryFolder()
    ferry = "\(tree)/bin/ferry"
    hosts = try TestHosts(["a", "b"], in: folder, ferry: ferry)
    for host in hosts.hosts { try kind == .docker ? startDocker(host) : setUpPodman(host) }
    try run("a", "\(kind) import '\(TestEngine.image())' box")
  }

  private func startDocker(_ host: TestHost) throws {
    try run(
      host.name,
      "setsid dockerd --data-root '\(host.folder)/docker' --exec-root /run/docker --pidfile /run/docker.pid --iptables=false "
        + "--bridge=none --storage-driver=overlay2 > '\(host.folder)/docker.log' 2>&1 &")
    try waitFor("dockerd of \(host.name)", seconds: 120) { try self.call(host.name, "docker version").succeeded }
  }

  /// Whoever calls it there, through ssh or not, gets the host's own.
  private func setUpPodman(_ host: TestHost) throws {
    try host.write("etc/containers.conf", TestEngine.podmanSettings)
    try host.write(
      "etc/storage.conf",
      "[storage]\ndriver = \"overlay\"\ngraphroot = \"\(host.folder)/podman\"\nrunroot = \"/run/containers/storage\"\n")
    try host.program(
      "podman",
      """
      #!/bin/sh
      export CONTAINERS_CONF='\(host.folder)/etc/containers.conf' CONTAINERS_STORAGE_CONF='\(host.folder)/etc/storage.conf'
      exec '\(Programs.find("podman"))' "$@"

      """)
  }

  deinit {
    for host in hosts.hosts {
      _ = try? call(
        host.name, "\(kind) kill $(\(kind) ps -q); \(kind) rm -f $(\(kind) ps -aq); [ ! -e /run/docker.pid ] || kill $(cat /run/docker.pid)"
      )
      try? waitFor("the end of dockerd") { try self.call(host.name, "[ ! -e /run/docker.pid ]").succeeded }
    }
  }

  /// What keeps the draft that `ferry init` writes from being what `ferry move` runs: from the services on, comments included, it is the same text.
  func draftComplaint(_ subject: String) throws -> String {
    let into = folder("draft-\(Hex.random(4))")
    let (draft, dry) = try (
      ferry(on: "a", "init", subject, "--into", into), ferry(on: "a", "move", subject, hosts["b"].node, "--dry-run")
    )
    guard draft.succeeded, dry.succeeded, let file = Files.names(in: into).first.map({ "\(into)/\($0)" }) else {
      return "\(draft.reason) \(dry.reason) \(dry.output)"
    }
    let lines = String(decoding: try Files.read(file), as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    let body = lines.drop { $0 != "services:" }
    guard body.count > 5, body.contains(where: { $0.hasPrefix("  # ") }), dry.output.contains(body.joined(separator: "\n")) else {
      return "written: \(lines.joined(separator: "\n"))\nmoved: \(dry.output)"
    }
    let checked = try ferry(on: "a", "check", file, "--set", "target=\(hosts["b"].address)")
    return checked.succeeded ? "" : "\(checked.reason) \(checked.output)"
  }

  /// What it left on a host, by kind: containers, volumes, images, networks that somebody made, pods; and folders that a run receives in.
  func inventory(_ host: String) throws -> [String] {
    var parts = try [
      "container": "\(kind) ps --all --format {{.Names}}", "volume": "\(kind) volume ls --format {{.Name}}",
      "image": "\(kind) images --all --format {{.Repository}}", "network": "\(kind) network ls --format {{.Name}}",
      "folder": "find '\(hosts[host].folder)/\(kind)' -name '*.ferry-*'",
    ]
    if kind == .podman { parts["pod"] = "podman pod ls --format {{.Name}}" }
    return try parts.flatMap { part, line in try run(host, line).split(separator: "\n").map { "\(part) \($0)" } }
      .filter { !["network bridge", "network host", "network none", "network podman"].contains($0) }.sorted()
  }

  /// Where a container's own layer is.
  func upper(_ host: String, _ container: String) throws -> String {
    try run(host, "\(kind) inspect --format '{{.GraphDriver.Data.UpperDir}}' \(container)").filter { $0 != "\n" }
  }

  /// A service in a container at `a`: it counts in its layer and in a volume, and has another volume that it may only read.
  func startCounter() throws {
    try folder.write(
      "script",
      """
      trap 'over=1' TERM
      n=0; [ -e /count ] && n=$(cat /count)
      rm -f /image/gone
      # A number that was begun stands in both when it ends.
      while [ -z "$over" ]; do n=$((n + 1)); echo $n > /count; echo $n >> /data/log; sleep 0.05; done
      """)
    try run(
      "a",
      "\(kind) run --detach --restart always --network none --name web --volume web-data:/data --volume web-ro:/ro:ro box /bin/sh -c \"$(cat '\(folder("script"))')\""
    )
    try run("a", "echo settings > $(\(kind) volume inspect --format '{{.Mountpoint}}' web-ro)/settings")
    try waitFor("the service") { try self.call("a", "\(kind) exec web cat /data/log").output.split(separator: "\n").count > 3 }
  }

  /// What is wrong with the counter, which is to be on one host and nowhere else.
  func complaints(counterAt host: String) throws -> [String] {
    var complaints: [String] = []
    let other = host == "a" ? "b" : "a"
    let elsewhere = try run(other, "\(kind) ps --quiet")
    if !elsewhere.isEmpty { complaints.append("a container runs at \(other)") }
    func log() throws -> [Int] { try run(host, "\(kind) exec web cat /data/log").split(separator: "\n").compactMap { Int($0) } }
    do {
      let before = try log()
      if before != Array(1...max(1, before.count)) { complaints.append("it lost count at \(host): \(before.suffix(20))") }
      try waitFor("it to count at \(host)") { try log().count > before.count }
      let policy = try run(host, "\(kind) inspect --format '{{.HostConfig.RestartPolicy.Name}}' web")
      if policy != "always\n" { complaints.append("its restart policy at \(host) is \(policy)") }
    } catch { complaints.append("it does not serve at \(host): \(FerryError.wrap(error).message)") }
    return complaints
  }
}

extension Command.Outcome {
  /// What `--json` said.
  var events: [Event] { output.split(separator: "\n").compactMap { try? JSONValue.decode(Event.self, from: Array($0.utf8)) } }
}
