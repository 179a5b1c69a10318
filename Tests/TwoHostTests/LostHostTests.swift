@testable import Ferry
import FerrySystem
import Glibc
import HostSupport
import RunSupport
import TestSupport
import Testing

@Suite("A host, or the controller, that is lost", .enabled(if: TestHosts.available)) struct LostHostTests {
  /// A run between two hosts whose controller dies at that point.
  private static func world(diesAt point: String) throws -> (world: World, run: String) {
    let world = try World(hosts: ["a", "b"])
    let outcome = try world.ferry("run", world.manifestFile(), fault: "controller@\(point)")
    try #require(outcome.code == 128 + SIGKILL)
    return (world, try #require(try world.onlyRun()).id)
  }

  @Test(
    "a source that boots while it is held down stays held, says so, and a person or a resume brings it back", arguments: ["thaw", "resume"])
  func quiesced(way: String) async throws {
    try await Threads.run {
      let (world, run) = try Self.world(diesAt: "final#2 intended")
      try world.reboot("a")
      #expect(!world.serves("a"))
      let status = try world.ferry(on: "a", "node", "status")
      #expect(status.output.contains("nobody watches: `ferry node thaw \(run)`"), "\(status)")
      if way == "thaw" {
        let thawed = try world.ferry(on: "a", "node", "thaw", run)
        #expect(thawed.code == 0, "\(thawed)")
        #expect(try world.complaints(serving: "a") == [])
      }
      let resumed = try world.ferry("resume", run)
      #expect(resumed.code == 0, "\(resumed)")
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test("both hosts boot after the seal, and neither serves until a resume has the destination take over")
  func sealed() async throws {
    try await Threads.run {
      let (world, run) = try Self.world(diesAt: "seal@source concluded")
      for name in ["a", "b"] { try world.reboot(name) }
      #expect(!world.serves("a") && !world.serves("b"))
      #expect(try world.record(run, .source)?.state == .sealed)
      let resumed = try world.ferry("resume", run)
      #expect(resumed.code == 0, "\(resumed)")
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test(
    "a host that boots while the run uses it is found again by the same run",
    arguments: [
      ("a", "copy#0 intended"), ("b", "copy#1 intended"), ("a", "final#2 intended"), ("b", "activate/start@destination intended"),
      ("b", "activate/switch intended"), ("a", "retire@source intended"),
    ])
  func retried(name: String, point: String) async throws {
    try await Threads.run {
      let world = try World(hosts: ["a", "b"])
      let outcome = try world.ferry("run", world.manifestFile(extra: "retry: 5m"), at: point) { try world.reboot(name) }
      #expect(outcome.code == 0, "\(outcome)")
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test(
    "with the controller's disk gone after the seal, a person on a node brings the destination up, or the source back",
    arguments: [
      ("activate", "b"), ("unseal", "a"),
    ])
  func controllerLost(verb: String, node: String) async throws {
    try await Threads.run {
      let (world, run) = try Self.world(diesAt: "seal@source concluded")
      try Files.remove(world.folder("state"))
      let status = try world.ferry(on: node, "node", "status")
      #expect(status.output.contains(run), "\(status)")
      #expect(try world.ferry(on: node, "node", verb, run).code != 0, "without the person's word nothing happens")
      #expect(!world.serves("a") && !world.serves("b"))
      let done = try world.ferry(on: node, "node", verb, run, "--i-have-fenced-the-other")
      #expect(done.code == 0, "\(done)")
      #expect(try world.complaints(serving: node) == [])
    }
  }

  @Test(
    "with the source's host gone after the seal, a person brings the verified destination up; should it come back, the run ends as usual")
  func sourceLost() async throws {
    try await Threads.run {
      let (world, run) = try Self.world(diesAt: "seal@source concluded")
      try world.hosts?["a"].kill()
      let done = try world.ferry(on: "b", "node", "activate", run, "--i-have-fenced-the-other")
      #expect(done.code == 0, "\(done)")
      #expect(try world.complaints(serving: "b") == [])
      try world.reboot("a")
      #expect(try world.complaints(serving: "b") == [], "the source is held over its return")
      let resumed = try world.ferry("resume", run)
      #expect(resumed.code == 0, "\(resumed)")
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test("a destination that was never proven is activated by nobody")
  func unproven() async throws {
    try await Threads.run {
      let (world, run) = try Self.world(diesAt: "copy#1 concluded")
      try world.hosts?["a"].kill()
      let refused = try world.ferry(on: "b", "node", "activate", run, "--i-have-fenced-the-other")
      #expect(refused.code == 4 && refused.errors.contains("not proven"), "\(refused)")
      #expect(!world.serves("b"))
    }
  }

  @Test("what a killed controller had on its own disk is gone after the next command")
  func leftovers() async throws {
    try await Threads.run {
      let world = try World(hosts: ["a", "b"])
      let own = world.folder("own")
      try Files.makeFolder(own)
      func ferry(_ arguments: String..., fault: String? = nil) throws -> Command.Outcome {
        try world.command(arguments, environment: ["FERRY_FAULT": fault, "XDG_RUNTIME_DIR": own, "TMPDIR": own]).run()
      }
      let killed = try ferry("run", world.manifestFile(), fault: "controller@copy#1 concluded")
      try #require(killed.code == 128 + SIGKILL)
      #expect(Files.names(in: own).count == 2, "one for each node: \(Files.names(in: own))")
      let undone = try ferry("rollback", try #require(try world.onlyRun()).id)
      #expect(undone.code == 0, "\(undone)")
      #expect(Files.names(in: own) == [])
      #expect(try world.complaints(serving: "a") == [])
    }
  }
}
