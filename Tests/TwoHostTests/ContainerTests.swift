import FerrySystem
import Glibc
import HostSupport
import TestSupport
import Testing

/// Two hosts with a Docker each, and a service in a container at the first: it counts in its layer and in a volume.
private final class Dockers: Sendable {
  let folder: TemporaryFolder
  let hosts: TestHosts
  let ferry: String

  init(_ tree: String) throws {
    folder = try TemporaryFolder()
    ferry = "\(tree)/bin/ferry"
    hosts = try TestHosts(["a", "b"], in: folder, ferry: ferry)
    let image = try TestEngine.image()
    for host in hosts.hosts {
      try run(
        host.name,
        "setsid dockerd --data-root '\(host.folder)/docker' --exec-root /run/docker --pidfile /run/docker.pid --iptables=false "
          + "--bridge=none --storage-driver=overlay2 > '\(host.folder)/docker.log' 2>&1 &")
      try waitFor("dockerd of \(host.name)", seconds: 120) { try self.call(host.name, "docker version").succeeded }
      try run(host.name, "docker import '\(image)' box")
    }
    let script = """
      trap 'exit 0' TERM
      n=0; [ -e /count ] && n=$(cat /count)
      rm -f /image/gone
      while :; do n=$((n + 1)); echo $n > /count; echo $n >> /data/log; sleep 0.05; done
      """
    try folder.write("script", script)
    try run(
      "a",
      "docker run --detach --restart always --network none --name web --volume web-data:/data --volume web-ro:/ro:ro box /bin/sh -c \"$(cat '\(folder("script"))')\""
    )
    try run("a", "echo settings > \(hosts["a"].folder)/docker/volumes/web-ro/_data/settings")
    try waitFor("the service") { try self.call("a", "docker exec web cat /data/log").output.split(separator: "\n").count > 3 }
  }

  deinit {
    for host in hosts.hosts {
      _ = try? call(host.name, "docker kill $(docker ps -q); docker rm -f $(docker ps -aq); kill $(cat /run/docker.pid)")
      try? waitFor("the end of dockerd") { try self.call(host.name, "[ ! -e /run/docker.pid ]").succeeded }
    }
  }

  func call(_ host: String, _ line: String) throws -> Command.Outcome { try hosts[host].command(["/bin/sh", "-c", line]).run() }
  @discardableResult func run(_ host: String, _ line: String) throws -> String {
    let outcome = try call(host, line)
    guard outcome.succeeded else { throw FerryError(.internal, "\(host): \(line): \(outcome.reason)") }
    return outcome.output
  }

  func manifest(_ mode: String) throws -> String {
    try folder.write(
      "web.yaml",
      """
      ferry: 1
      name: web
      mode: \(mode)
      source: { node: "\(hosts["a"].node)" }
      destination: { node: "\(hosts["b"].node)" }
      services:
        - docker: web
      state:
        - name: volumes
          provider: docker-volume
          from: { volumes-from: web }
        - name: layer
          provider: docker-layer
          from: { container: web }
          to: { container: web, image: box }
          after: [volumes]
      """)
  }

  func ferry(_ arguments: String...) throws -> Command.Outcome {
    var command = Command([ferry] + arguments, environment: ["HOME": folder.path, "FERRY_SSH_CONFIG": hosts.sshConfig])
    command.timeout = .seconds(300)
    command.output = .capture(limit: 4 << 20)
    return try command.run()
  }
}

@Suite(
  "A container moves between hosts with its layer and its volumes",
  .enabled(if: TestHosts.available && TestEngine.available && Needs.tree != nil)) struct ContainerTests
{
  @Test("it is stopped here and goes on there, where it left off")
  func move() throws {
    let dockers = try Dockers(#require(Needs.tree))
    let outcome = try dockers.ferry("run", dockers.manifest("move"), "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    // It counts on: what it said before it was moved is there, without a gap or a repetition.
    try waitFor("the service at b") { try dockers.call("b", "docker exec web cat /count").succeeded }
    let log = try dockers.run("b", "docker exec web cat /data/log").split(separator: "\n").compactMap { Int($0) }
    #expect(log == Array(1...max(1, log.count)))
    #expect(try dockers.run("b", "docker exec web cat /ro/settings") == "settings\n")
    #expect(try !dockers.call("b", "docker exec web touch /ro/new").succeeded)
    #expect(try !dockers.call("b", "docker exec web test -e /image/gone").succeeded)
    #expect(try dockers.run("b", "docker inspect --format '{{.HostConfig.RestartPolicy.Name}}' web") == "always\n")
    #expect(try dockers.run("a", "docker ps --all --quiet") == "")
    #expect(try dockers.run("a", "docker volume ls --quiet") == "")
    #expect(try dockers.run("b", "docker images --quiet").split(separator: "\n").count == 1)
  }

  @Test("a run that fails at the destination leaves it as it was, and the service goes on at the source")
  func back() throws {
    let dockers = try Dockers(#require(Needs.tree))
    // Docker at b makes the container, but cannot start it.
    try dockers.hosts["b"].program("runc", "#!/bin/sh\necho broken >&2\nexit 1\n")
    let outcome = try dockers.ferry("run", dockers.manifest("move"), "--json")
    #expect(outcome.code == 1, "\(outcome.reason) \(outcome.output.suffix(3000))")
    try waitFor("the service at a") { try dockers.run("a", "docker inspect --format '{{.State.Running}}' web") == "true\n" }
    let before = try dockers.run("a", "docker exec web cat /count")
    try waitFor("it to count") { try dockers.run("a", "docker exec web cat /count") != before }
    #expect(try dockers.run("a", "docker inspect --format '{{.HostConfig.RestartPolicy.Name}}' web") == "always\n")
    #expect(try dockers.run("b", "docker ps --all --quiet; docker volume ls --quiet") == "")
  }
}
