import FerrySystem
import Glibc
import HostSupport
import TestSupport
import Testing

extension EngineHosts {
  /// With the counter at `a`, and the image at both.
  fileprivate static func counting() throws -> EngineHosts {
    let hosts = try EngineHosts(#require(Needs.tree))
    try hosts.run("b", "docker import '\(TestEngine.image())' box")
    try hosts.startCounter()
    return hosts
  }

  fileprivate func manifest(_ mode: String, _ container: String = "web", services: String = "[docker: web]") throws -> String {
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
}

@Suite(
  "A container moves between hosts with its layer and its volumes",
  .enabled(if: TestHosts.available && TestEngine.available && Needs.tree != nil)) struct ContainerTests
{
  @Test("it is stopped here and goes on there, where it left off")
  func move() throws {
    let dockers = try EngineHosts.counting()
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
    let dockers = try EngineHosts.counting()
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
    let dockers = try EngineHosts.counting()
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
  /// The counter at `a`, and a host b that has no image.
  private func dockers() throws -> EngineHosts {
    let dockers = try EngineHosts(#require(Needs.tree))
    try dockers.startCounter()
    return dockers
  }

  @Test("image, settings, layer and volumes arrive, it goes on where it left off, and nothing of it is left at the source")
  func move() throws {
    let dockers = try dockers()
    let dry = try dockers.ferry(on: "a", "move", "docker:web", dockers.hosts["b"].node, "--dry-run")
    #expect(
      dry.succeeded && dry.output.contains("provider: docker-container") && dry.output.contains("nothing was changed"), "\(dry.errors)")
    let draft = try dockers.draftComplaint("docker:web")
    #expect(draft == "")
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
    let draft = try dockers.draftComplaint("compose:\(file)")
    #expect(draft == "")
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
