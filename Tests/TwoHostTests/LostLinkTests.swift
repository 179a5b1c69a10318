@testable import Ferry
import FerrySystem
import HostSupport
import RunSupport
import TestSupport
import Testing

@Suite("A link that is cut", .enabled(if: TestHosts.available)) struct LostLinkTests {
  /// Before the act of each phase is sent, and after some that leave something behind.
  static let points = [
    "check@source intended", "prepare@destination intended", "prepare@source concluded", "copy#0 intended", "quiesce@source intended",
    "final#2 intended", "verify@source intended", "seal@source intended", "activate@destination intended",
    "activate/start@destination intended", "activate/switch intended", "retire/prove@source intended", "retire@source intended",
  ]

  @Test("and mended within `retry` is found again by the same run, in whatever phase", arguments: ["a", "b"])
  func mended(node: String) async throws {
    let complaints = try await Threads.run {
      try Threads.map(Self.points, limit: 5) { point in
        let world = try World(hosts: ["a", "b"])
        let outcome = try world.ferry("run", world.manifestFile(extra: "retry: 5m"), at: point) {
          try world.hosts?.cut(nil, node)
        } afterwards: {
          // A run that needs the node no more would end without having missed it.
          try waitFor("the run to miss \(node)", seconds: 120) { try world.hasSaid("trying again") || world.onlyRun()?.status == .done }
          try world.hosts?.mend(nil, node)
        }
        let wrong = try world.complaints(serving: "b") + (outcome.code == 0 ? [] : [outcome.errors])
        return wrong.map { "\(point): \($0)" }
      }.flatMap { $0 }
    }
    #expect(complaints == [])
  }

  @Test("for longer than `retry` leaves a quiesced source to its watchdog, and a resume copies again")
  func quiesced() async throws {
    try await Threads.run {
      let world = try World(hosts: ["a", "b"])
      let manifest = try world.manifestFile(extra: "retry: 1s\ncutover: { watchdog: 5s }")
      let outcome = try world.ferry("run", manifest, at: "final#2 intended") { try world.hosts?.cut(nil, "a") }
      #expect(outcome.code == 7, "\(outcome)")
      let run = try #require(try world.onlyRun()).id
      try waitFor("the watchdog to bring the source back", seconds: 120) { try world.record(run, .source)?.state == .serving }
      #expect(try world.complaints(serving: "a") == [])
      try world.write("after the watchdog")
      try world.hosts?.mend(nil, "a")
      let resumed = try world.ferry("resume", run)
      #expect(resumed.code == 0, "\(resumed)")
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test("for as long never has a sealed source brought back, by the watchdog or by a thaw")
  func sealed() async throws {
    try await Threads.run {
      let world = try World(hosts: ["a", "b"])
      let outcome = try world.ferry("run", world.manifestFile(extra: "cutover: { watchdog: 5s }"), at: "activate@destination intended") {
        for node in ["a", "b"] { try world.hosts?.cut(nil, node) }
      }
      #expect(outcome.code == 7, "\(outcome)")
      let run = try #require(try world.onlyRun()).id
      try waitFor("the deadline to pass") { Watchdog.remaining(folder: "\(world.home("a"))/runs/\(run)/source") < -1 }
      #expect(try world.ferry(on: "a", "node", "thaw", run).code != 0)
      #expect(try world.record(run, .source)?.state == .sealed)
      #expect(!world.serves("a") && !world.serves("b"))
      for node in ["a", "b"] { try world.hosts?.mend(nil, node) }
      let resumed = try world.ferry("resume", run)
      #expect(resumed.code == 0, "\(resumed)")
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test(
    "right after the destination was told to start leaves one end serving, and the run goes on when it is mended", arguments: ["1s", "5m"])
  func partition(retry: String) async throws {
    try await Threads.run {
      let world = try World(hosts: ["a", "b"])
      try world.folder.write("b-start-waits", "")
      let cut: @Sendable () throws -> Void = {
        try waitFor("the destination to start", seconds: 120) { Files.exists(world.folder("b-start-asked")) }
        try world.hosts?.cut(nil, "b")
        try Files.remove(world.folder("b-start-waits"))
        try waitFor("the destination to serve", seconds: 120) {
          try world.onlyRun().flatMap { try world.record($0.id, .destination) }?.state == .active
        }
        guard retry != "1s" else { return }
        try waitFor("the run to miss it", seconds: 120) { try world.hasSaid("trying again") }
        try world.hosts?.mend(nil, "b")
      }
      let outcome = try world.ferry(
        "run", world.manifestFile(extra: "retry: \(retry)"), at: "activate/start@destination intended", {}, afterwards: cut)
      let run = try #require(try world.onlyRun()).id
      if retry == "1s" {
        #expect(outcome.code == 7, "\(outcome)")
        #expect(try world.record(run, .source)?.state == .sealed)
        #expect(try world.complaints(serving: "b") == [])
        try world.hosts?.mend(nil, "b")
        let resumed = try world.ferry("resume", run)
        #expect(resumed.code == 0, "\(resumed)")
      } else {
        #expect(outcome.code == 0, "\(outcome)")
      }
      #expect(try world.onlyRun()?.status == .done)
      #expect(try world.complaints(serving: "b") == [])
    }
  }
}
