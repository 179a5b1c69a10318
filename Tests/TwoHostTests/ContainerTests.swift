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

  func manifest(_ mode: String, _ container: String = "web", services: String = "[docker: web]") throws -> String {
    try folder.write(
      "\(container).yaml",
      """
      ferry: 1
      name: \(container)
      mode: \(mode)
      source: { node: "\(hosts["a"].node)" }
      destination: { node: "\(hosts["b"].node)" }
      services: \(services)
      state:
        - name: volumes
          provider: docker-volume
          from: { volumes-from: \(container) }
        - name: layer
          provider: docker-layer
          from: { container: \(container) }
          to: { container: \(container), image: box }
          after: [volumes]
      """)
  }

  /// Where a container's own layer is.
  func upper(_ host: String, _ container: String) throws -> String {
    try run(host, "docker inspect --format '{{.GraphDriver.Data.UpperDir}}' \(container)").filter { $0 != "\n" }
  }

  func ferry(_ arguments: String...) throws -> Command.Outcome {
    var command = Command([ferry] + arguments, environment: ["HOME": folder.path, "FERRY_SSH_CONFIG": hosts.sshConfig])
    command.timeout = .seconds(300)
    command.output = .capture(limit: 4 << 20)
    return try command.run()
  }

  /// As a person there types it.
  func ferry(on host: String, _ arguments: String...) throws -> Command.Outcome {
    var command = try hosts[host].command(["env", "HOME=\(folder.path)", "FERRY_SSH_CONFIG=\(hosts.sshConfig)", ferry] + arguments)
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

  @Test("every awkward thing in a volume and in a layer arrives, and what does not was named before")
  func awkward() throws {
    let dockers = try Dockers(#require(Needs.tree))
    let script = """
      cd /image; rm gone; echo changed > changed; chmod 4711 mode; chmod 700 folder; rm -r folder/deep; mkdir folder/deep; echo new > folder/deep/new
      rm -r replaced; echo file > replaced; mv renamed /moved; rm linked; ln kept /link; rm kept; mkdir kept; touch -d @7 /image/changed
      """
    try dockers.run("a", "docker run --name odd --network none --volume odd:/data/inside box /bin/sh -c '\(script)'")
    let (volume, layer) = try ("\(dockers.hosts["a"].folder)/docker/volumes/odd/_data", dockers.upper("a", "odd"))
    let trees = [try AwkwardTree(at: volume, AwkwardTree.Part.allCases, crowd: 100_000), try AwkwardTree(at: "\(layer)/awkward")]
    let checked = try dockers.ferry("check", dockers.manifest("copy", "odd", services: "[]"))
    #expect(checked.succeeded && checked.output.contains("flags (immutable, append-only): 2"), "\(checked.reason) \(checked.output)")
    let outcome = try dockers.ferry("run", dockers.manifest("copy", "odd", services: "[]"), "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    #expect(try TreeComparison.differences(volume, "\(dockers.hosts["b"].folder)/docker/volumes/odd/_data") == [])
    let arrived = try dockers.upper("b", "odd")
    #expect(try TreeComparison.differences("\(layer)/awkward", "\(arrived)/awkward") == [])
    // The kernel notes its own about mounts in a layer; what counts of its marks is seen through the engine.
    #expect(try TreeComparison.differences(layer, arrived, ignoring: [.flags, .systemAttributes]) == [])
    #expect(try dockers.run("a", "docker diff odd | sort") == dockers.run("b", "docker diff odd | sort"))
    for tree in trees { tree.release() }
  }
}

@Suite(
  "A whole container moves between hosts by one command",
  .enabled(if: TestHosts.available && TestEngine.available && Needs.tree != nil)) struct MoveTests
{
  /// The service of `Dockers`, with settings to lose, and a host b that has no image.
  private func dockers() throws -> Dockers {
    let dockers = try Dockers(#require(Needs.tree))
    try dockers.run("b", "docker rmi box")
    return dockers
  }

  @Test("image, settings, layer and volumes arrive, it goes on where it left off, and nothing of it is left at the source")
  func move() throws {
    let dockers = try dockers()
    let dry = try dockers.ferry(on: "a", "move", "docker:web", dockers.hosts["b"].node, "--dry-run")
    #expect(
      dry.succeeded && dry.output.contains("provider: docker-container") && dry.output.contains("nothing was changed"), "\(dry.errors)")
    #expect(try dockers.run("b", "docker ps --all --quiet; docker images --quiet") == "")
    let outcome = try dockers.ferry(on: "a", "move", "docker:web", dockers.hosts["b"].node, "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    try waitFor("the service at b") { try dockers.call("b", "docker exec web cat /count").succeeded }
    let log = try dockers.run("b", "docker exec web cat /data/log").split(separator: "\n").compactMap { Int($0) }
    #expect(log == Array(1...max(1, log.count)))
    #expect(try !dockers.call("b", "docker exec web touch /ro/new").succeeded)
    #expect(try !dockers.call("b", "docker exec web test -e /image/gone").succeeded)
    #expect(try dockers.run("b", "docker inspect --format '{{.HostConfig.RestartPolicy.Name}}' web") == "always\n")
    #expect(try dockers.run("b", "docker inspect --format '{{.Config.Image}}' web") == "box\n")
    #expect(try dockers.run("a", "docker ps --all --quiet; docker volume ls --quiet") == "")
  }

  @Test("a copy under another name leaves the source as it is")
  func copy() throws {
    let dockers = try dockers()
    let outcome = try dockers.ferry(on: "a", "move", "docker:web", dockers.hosts["b"].node, "--copy", "--to-name", "web2", "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    try waitFor("the copy at b") { try dockers.call("b", "docker exec web2 cat /count").succeeded }
    try waitFor("the service at a") { try dockers.call("a", "docker exec web cat /count").succeeded }
    #expect(try dockers.run("a", "docker volume ls --quiet") == "web-data\nweb-ro\n")
  }

  @Test("a run that fails at the destination leaves neither a container nor an image there, and the source goes on")
  func back() throws {
    let dockers = try dockers()
    try dockers.hosts["b"].program("runc", "#!/bin/sh\necho broken >&2\nexit 1\n")
    let outcome = try dockers.ferry(on: "a", "move", "docker:web", dockers.hosts["b"].node, "--json")
    #expect(outcome.code == 1, "\(outcome.reason) \(outcome.output.suffix(3000))")
    try waitFor("the service at a") { try dockers.run("a", "docker inspect --format '{{.State.Running}}' web") == "true\n" }
    #expect(try dockers.run("b", "docker ps --all --quiet; docker volume ls --quiet; docker images --quiet") == "")
  }

  @Test("a compose project of three moves as one: stopped together, the shared volume once, started in the order of its dependencies")
  func compose() throws {
    let dockers = try dockers()
    try dockers.run("a", "docker rm --force web; docker volume rm web-data web-ro")
    let file = try dockers.folder.write("compose.yaml", "services: {}\n")
    let loop = "trap 'exit 0' TERM; while :; do echo x >> /LOG; sleep 0.05; done"
    for (service, needs, options) in [
      ("db", "", "--volume shop_db:/db"), ("worker", "db:service_started:false", "--volume shop_files:/files"),
      ("web", "db:service_started:false,worker:service_started:true", "--volume shop_files:/site:ro --volume /var/cache"),
    ] {
      try dockers.run(
        "a",
        "docker run --detach --network none --name shop-\(service)-1 --label com.docker.compose.project=shop "
          + "--label com.docker.compose.service=\(service) --label com.docker.compose.project.config_files='\(file)' "
          + "--label com.docker.compose.depends_on='\(needs)' --restart unless-stopped \(options) box /bin/sh -c \"\(loop)\"")
    }
    try dockers.run(
      "a", "docker exec shop-db-1 /bin/sh -c 'echo rows > /db/table'; docker exec shop-worker-1 /bin/sh -c 'echo x > /files/x'")
    let outcome = try dockers.ferry(on: "a", "move", "compose:\(file)", dockers.hosts["b"].node, "--json")
    #expect(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(3000))")
    #expect(try dockers.run("b", "docker exec shop-db-1 cat /db/table; docker exec shop-web-1 cat /site/x") == "rows\nx\n")
    #expect(try dockers.run("b", "docker ps --quiet").split(separator: "\n").count == 3)
    #expect(try dockers.run("b", "docker volume ls --quiet") == "shop-web-1-var-cache\nshop_db\nshop_files\n")
    #expect(try dockers.run("a", "docker ps --all --quiet; docker volume ls --quiet") == "")
    let started = try ["db", "worker", "web"].map { service in
      try dockers.run("b", "docker inspect --format '{{.State.StartedAt}}' shop-\(service)-1")
    }
    #expect(started == started.sorted())
  }
}
