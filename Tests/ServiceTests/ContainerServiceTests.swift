import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import Ferry

/// An engine with a storage of the test's own.
private final class Containers: Sendable {
  let folder: TemporaryFolder
  let kind: ContainerService.Engine
  let environment: [String: String]
  private let daemon: Lock<Engine?>

  static func missing(_ kind: ContainerService.Engine) -> Bool {
    isMissing("busybox", "runc", kind.rawValue) || (kind == .docker && isMissing("dockerd"))
  }

  init(_ kind: ContainerService.Engine) throws {
    self.kind = kind
    folder = try TemporaryFolder()
    daemon = Lock(nil)
    if kind == .docker {
      environment = ["DOCKER_HOST": "unix://\(folder("s"))"]
      try startDaemon()
    } else {
      environment = ["CONTAINERS_CONF": folder("containers.conf"), "CONTAINERS_STORAGE_CONF": folder("storage.conf")]
      try folder.write(
        "containers.conf",
        TestEngine.podmanSettings)
      try folder.write("storage.conf", "[storage]\ndriver = \"vfs\"\ngraphroot = \"\(folder("store"))\"\nrunroot = \"\(folder("run"))\"\n")
    }
    try run("import", try busyboxImage(folder), "box")
  }

  func startDaemon() throws {
    let engine = try Engine(
      [
        "dockerd", "--data-root", folder("data"), "--exec-root", folder("exec"), "-H", "unix://\(folder("s"))", "--pidfile", folder("pid"),
        "--iptables=false", "--bridge=none", "--storage-driver=vfs",
      ], log: folder("log"))
    daemon.withLock { $0 = engine }
    try waitFor("dockerd", seconds: 120) { try call("version").succeeded }
  }
  func endDaemon() {
    daemon.withLock { engine in
      engine?.end()
      engine = nil
    }
  }

  deinit {
    let all = (try? call("ps", "--all", "--quiet").output.split(separator: "\n").map(String.init)) ?? []
    // Podman's `rm --force` would first wait for those that ignore the request to end.
    for id in all {
      _ = try? call("kill", id)
      _ = try? call("rm", "--force", id)
    }
    endDaemon()
  }

  func call(_ arguments: String...) throws -> Command.Outcome { try call(arguments) }
  private func call(_ arguments: [String]) throws -> Command.Outcome {
    try Command([kind.rawValue] + arguments, environment: environment.mapValues { $0 }, timeout: .seconds(120)).run()
  }
  @discardableResult func run(_ arguments: String...) throws -> String {
    let outcome = try call(arguments)
    guard outcome.succeeded else { throw FerryError(.internal, "\(kind) \(arguments): \(outcome.reason)") }
    return outcome.output
  }
  func make(_ name: String, _ options: String..., script: String = "trap 'exit 0' TERM; while :; do /bin/busybox sleep 0.1; done") throws {
    let outcome = try call(
      ["run", "--detach", "--network", "none", "--name", name] + options + ["box", "/bin/busybox", "sh", "-c", script])
    guard outcome.succeeded else { throw FerryError(.internal, "\(kind) run: \(outcome.reason)") }
  }
  func policy(_ name: String) throws -> String {
    try run("container", "inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}", name)
      .filter { !$0.isWhitespace }
  }
  func isUp(_ name: String) throws -> Bool { try run("container", "inspect", "--format", "{{.State.Running}}", name).contains("true") }
  func group(
    _ names: [String], _ side: Side = .source, stop: Duration = .seconds(60), healthy: [String]? = nil,
    healthyWithin: Duration = .seconds(60)
  ) throws -> ServiceGroup {
    let services = try names.map { name in
      try spec(
        kind == .docker ? .docker(container: name) : .podman(container: name), name, environment: environment, stop: stop, healthy: healthy,
        healthyWithin: healthyWithin)
    }
    return ServiceGroup(run: "r1", side: side, services: services, folder: folder("notes-\(side)"))
  }

  /// What holds for both engines.
  func contract() throws {
    try make("web", "--restart=on-failure:3")
    try make("idle")
    try run("stop", "idle")
    let names = ["web", "idle"]
    #expect(try !group(names).isStopped())
    try group(names).stop()
    try group(names).stop()
    #expect(try group(names).isStopped())
    try group(names).start()
    #expect(try isUp("web") && !isUp("idle"))
    #expect(try policy("web") == "on-failure:3")
    // At the destination all are started, whatever ran before.
    try group(names, .destination).hold()
    try group(names, .destination).start()
    #expect(try isUp("idle"))
    try group(names, .destination).stop()
    #expect(try !isUp("idle") && !isUp("web"))
    try group(names, .destination).release()
    #expect(try !isUp("web") && policy("web") == "on-failure:3")
    #expect(try group(["nothing"]).check().contains { $0.severity == .error && $0.text.contains("no such container") })
    #expect(try group(["nothing"], .destination).check().contains { $0.severity == .warning })
    #expect(message { try group(["nothing"]).stop() }.contains("there is no such service"))
  }

  func stubborn() throws {
    try make("deaf", "--restart=always", script: "trap '' TERM; while :; do /bin/busybox sleep 0.1; done")
    let text = message { try group(["deaf"], stop: .seconds(1)).stop() }
    #expect(text.contains("\(kind) container deaf") && text.contains("did not stop within 1 s") && text.contains("killed and is held"))
    #expect(try !isUp("deaf"))
    try group(["deaf"]).start()
    #expect(try isUp("deaf"))
    #expect(try policy("deaf").hasPrefix("always"))
  }

  func health() throws {
    try make("sick", "--health-cmd=/bin/busybox test -e /well", "--health-interval=1s", "--health-retries=1")
    try group(["sick"]).stop()
    #expect(message { try group(["sick"], healthyWithin: .milliseconds(500)).start() }.contains("its health check says"))
    try run("exec", "sick", "/bin/busybox", "touch", "/well")
    try group(["sick"]).start()
    // The engine's own first look comes after an hour.
    try make("well", "--health-cmd=test -e /bin/busybox", "--health-interval=1h")
    try group(["well"]).stop()
    try group(["well"]).start()
    try make("brief", script: "exit 7")
    try waitFor("its end") { try !isUp("brief") }
    #expect(message { try group(["brief"], .destination).start() }.contains("it ended with exit code 7"))
  }
}

@Suite("Services of kind docker", .serialized, .enabled(if: !Containers.missing(.docker))) struct DockerServiceTests {
  @Test("a container is stopped and held, comes back with its policy, and says what is wrong") func contract() throws {
    let docker = try Containers(.docker)
    try docker.contract()
    try docker.stubborn()
    try docker.health()
  }

  @Test("a held container stays down over an engine's restart, and check names what would undo a stop") func restart() throws {
    let docker = try Containers(.docker)
    try docker.make("web", "--restart=always")
    try docker.make("gone", "--rm")
    #expect(try docker.group(["web"]).check().contains { $0.text.contains("restart policy 'always' is switched off") })
    #expect(try docker.group(["gone"]).check().contains { $0.severity == .error && $0.text.contains("--rm") })
    #expect(throws: FerryError.self) { try docker.group(["web", "gone"]).stop() }
    #expect(try docker.isUp("web") && docker.isUp("gone"), "nothing is stopped where one cannot be")
    try docker.group(["web"]).stop()
    docker.endDaemon()
    try docker.startDaemon()
    #expect(try docker.group(["web"]).isStopped())
    try docker.group(["web"]).start()
    #expect(try docker.isUp("web"))
    #expect(try docker.policy("web").hasPrefix("always"))
  }

  @Test("killed between any two steps, a fresh process ends held or back, as asked") func crash() throws {
    let docker = try Containers(.docker)
    try docker.make("web", "--restart=always")
    let steps: [[String]] = [["inspect", "web"], ["update", "--restart=no", "web"], ["stop", "web"]]
    let found = ServiceFound(ran: true, restartPolicy: "always")
    for step in steps {
      for forward in [true, false] {
        var notes = ServiceNotes()
        notes.services["web"] = .init(found: found, last: nil)
        try notes.write(docker.folder("notes-source/services.json"))
        for done in steps.prefix(through: steps.firstIndex(of: step) ?? 0) {
          _ = try Command(["docker"] + done, environment: docker.environment.mapValues { $0 }).run()
        }
        if forward {
          try docker.group(["web"]).stop()
          #expect(try docker.group(["web"]).isStopped())
          #expect(try docker.policy("web").hasPrefix("no"))
        }
        try docker.group(["web"]).start()
        #expect(try docker.isUp("web"))
        #expect(try docker.policy("web").hasPrefix("always"))
      }
    }
  }
}

@Suite("Services of kind podman", .serialized, .enabled(if: !Containers.missing(.podman))) struct PodmanServiceTests {
  @Test("a container is stopped and held, comes back with its policy, and says what is wrong") func contract() throws {
    let podman = try Containers(.podman)
    try podman.contract()
    try podman.stubborn()
    try podman.health()
  }

  @Test("a container that a systemd unit runs is refused, with the unit to name instead") func unit() throws {
    let podman = try Containers(.podman)
    try podman.make("web", "--label", "PODMAN_SYSTEMD_UNIT=container-web.service")
    let notices = try podman.group(["web"]).check()
    #expect(notices.contains { $0.severity == .error && $0.hint == "name the unit: `- systemd: container-web.service`" })
    #expect(message { try podman.group(["web"]).stop() }.contains("would start it again"))
    #expect(try podman.isUp("web"))
  }
}
