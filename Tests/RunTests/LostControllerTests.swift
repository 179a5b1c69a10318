@testable import Ferry
import FerrySystem
import Glibc
import Testing
import RunSupport
import TestSupport

@Suite("Nodes keep enough to act when the controller is gone") struct LostControllerTests {
  /// A run whose controller dies at the first point of that name.
  private func world(diesAt name: String, extra: String = "") throws -> (World, String) {
    let world = try World()
    let outcome = try world.ferry("run", world.manifestFile(extra: extra), fault: "controller@\(name)")
    try #require(outcome.code == 128 + SIGKILL)
    return (world, try #require(try world.onlyRun()).id)
  }

  @Test("a source that hears nothing is brought back by the watchdog, and a resume copies again")
  func watchdog() async throws {
    let (world, run) = try await Threads.run { try self.world(diesAt: "final#2 intended", extra: "cutover: { watchdog: 2s }") }
    try await Threads.run {
      try waitFor("the watchdog to bring the source back", seconds: 120) { try world.record(run, .source)?.state == .serving }
      #expect(try world.record(run, .source)?.note?.contains("watchdog") ?? false)
      #expect(try world.complaints(serving: "a") == [])
      try world.write("after the watchdog")
      let resumed = try world.ferry("resume", run)
      #expect(resumed.code == 0, "\(resumed.output) \(resumed.errors)")
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test("a sealed source stays down, whatever the deadline says")
  func sealed() async throws {
    let (world, run) = try await Threads.run { try self.world(diesAt: "seal@source concluded", extra: "cutover: { watchdog: 1s }") }
    try await Threads.run {
      try waitFor("the watchdog to end", seconds: 120) {
        let line = (try? Files.read(world.folder("a/home/runs/\(run)/source/watchdog"))) ?? []
        return (try? JSONValue.decode(ProcessIdentity.self, from: line))?.isAlive != true
      }
      #expect(try world.record(run, .source)?.state == .sealed)
      #expect(!world.serves("a") && !world.serves("b"))
    }
  }

  @Test("with the journal gone after the seal, a person brings the destination up, or the source back", arguments: ["activate", "unseal"])
  func journalLost(verb: String) async throws {
    let (world, run) = try await Threads.run { try self.world(diesAt: "seal@source concluded") }
    try await Threads.run {
      try Files.remove(world.folder("state"))
      let home = world.folder(verb == "activate" ? "b/home" : "a/home")
      let refused = try world.ferry("node", verb, run, "--home", home)
      #expect(refused.code != 0, "without the person's word nothing happens")
      #expect(!world.serves("a") && !world.serves("b"))
      let done = try world.ferry("node", verb, run, "--home", home, "--i-have-fenced-the-other")
      #expect(done.code == 0, "\(done.errors)")
      #expect(try world.complaints(serving: verb == "activate" ? "b" : "a") == [])
    }
  }

  @Test(
    "an agent that was stopped with an act in hand and wakes up after a resume does nothing more",
    arguments: [
      ("source-agent", "quiesce@source intended"), ("destination-agent", "activate/start@destination intended"),
      ("source-agent", "retire@source intended"),
    ])
  func stale(agent: String, point: String) async throws {
    try await Threads.run {
      let world = try World()
      let manifest = try world.manifestFile()
      let controller = try ChildProcess.spawn(
        [Products.ferry, "run", manifest],
        environment: [
          "FERRY_STATE": world.folder("state"), "FERRY_PLUGINS": world.folder("plugins"), "FERRY_FAULT": "stop-\(agent)@\(point)",
        ],
        descriptors: [0: Descriptor.open("/dev/null", O_RDWR).release(), 1: 2, 2: 2])
      defer { controller.signalGroup(SIGKILL) }
      func isStopped(_ pid: Int32) -> Bool {
        let stat = (try? Files.read("/proc/\(pid)/stat")) ?? []
        return String(decoding: stat, as: UTF8.self).split(separator: ")").last?.hasPrefix(" T") ?? false
      }
      try waitFor("the agent to be stopped", seconds: 120) { world.processes().contains(where: isStopped) }
      let stopped = try #require(world.processes().first(where: isStopped))
      let identity = try #require(ProcessIdentity(pid: stopped))
      // The act is on its way: it lies in the stopped agent's stdin. Now its controller goes.
      controller.signalGroup(SIGKILL)
      controller.wait()
      let run = try #require(try world.onlyRun()).id
      let resumed = try world.ferry("resume", run)
      #expect(resumed.code == 0, "\(resumed.output) \(resumed.errors)")
      if identity.isAlive { kill(stopped, SIGCONT) }
      try waitFor("the stale agent to end", seconds: 60) { !identity.isAlive }
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test("a detached run goes on without the terminal that began it, and tells how it ended")
  func detached() async throws {
    let world = try World()
    try await Threads.run {
      let begun = try world.ferry("run", world.manifestFile(), "--detach", "--hold-before", "quiesce", "--json")
      #expect(begun.code == 0, "\(begun.errors)")
      let run = try #require(try world.onlyRun()).id
      #expect(begun.output.contains(run))
      try waitFor("the run to wait", seconds: 120) { try world.ferry("logs", run).output.contains("proceed") }
      #expect(try world.ferry("proceed", run).code == 0)
      let followed = try world.ferry("status", run, "--follow")
      #expect(followed.code == 0, "\(followed.output) \(followed.errors)")
      #expect(try world.onlyRun()?.status == .done)
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test("a node that is lost is looked for again, for as long as `retry` says", arguments: ["source-agent", "destination-agent"])
  func retry(victim: String) async throws {
    try await Threads.run {
      for name in ["copy#0 intended", "final#2 intended", "activate/start@destination intended"] {
        let world = try World()
        let outcome = try world.ferry("run", world.manifestFile(extra: "retry: 60s"), fault: "\(victim)@\(name)")
        #expect(outcome.code == 0, "\(victim) at \(name): \(outcome.output) \(outcome.errors)")
        #expect(try world.hasSaid("trying again"), "\(victim) at \(name) was not struck")
        #expect(try world.complaints(serving: "b") == [])
      }
    }
  }

  @Test("a message of an older session is refused by the record itself")
  func epochs() throws {
    let world = try World()
    let store = NodeStore(home: world.folder("a/home"))
    func open(_ epoch: Int) throws -> NodeRecord {
      try store.open(world.manifest().openRequest(run: "run", side: .source, epoch: epoch).record)
    }
    #expect(try open(2).epoch == 2)
    #expect(throws: FerryError.self) { try open(2) }
    #expect(throws: FerryError.self) { try open(1) }
    #expect(try open(3).epoch == 3)
    #expect(throws: FerryError.self) { try store.exclusively("run", .source, epoch: 2) { try $0.update { $0.state = .sealed } } }
    #expect(try store.record("run", .source)?.state == .serving)
  }
}
