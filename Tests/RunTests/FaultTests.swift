@testable import Ferry
import FerrySystem
import Glibc
import Testing
import RunSupport
import TestSupport

/// SIGKILL at every point of the journal, one point a run: what is left behind can always be resumed, and always be undone until the
/// destination has taken over. The points are enumerated by fault injection, so a new step is struck by itself.
@Suite("Whatever dies, at whatever point", .serialized) struct FaultTests {
  enum Victim: String, CaseIterable, Sendable {
    case controller, sourceAgent = "source-agent", destinationAgent = "destination-agent", sourceHost = "source-host",
      destinationHost = "destination-host", watchdog
  }

  /// The names of the points of a run that nothing disturbs.
  static func points(_ mode: String, failing: Bool = false) throws -> [String] {
    let world = try World()
    if failing { try fail(world) }
    let list = world.folder("points")
    let outcome = try world.ferry("run", world.manifestFile(mode), fault: "list:\(list)")
    guard outcome.code == (failing ? 1 : 0) else {
      throw FerryError(.internal, "the undisturbed run failed: \(outcome.output) \(outcome.errors)")
    }
    return try world.folder.read("points").split(separator: "\n").map(String.init)
  }

  @Test("the run, a resume or a rollback ends with one end serving all that was accepted", arguments: Victim.allCases)
  func move(victim: Victim) async throws { try await strikeEverywhere(victim, mode: "move") }

  @Test("a copy that loses its controller leaves the source serving")
  func copy() async throws { try await strikeEverywhere(.controller, mode: "copy") }

  @Test("a compensation that loses its controller is finished by the next session")
  func compensation() async throws { try await strikeEverywhere(.controller, mode: "move", failing: true) }

  private enum Way: String { case resume, rollback }

  private static func resumeUntilOver(_ world: World) throws {
    for _ in 0..<3 {
      guard let run = try world.onlyRun(), [.running, .incomplete].contains(run.status) else { return }
      try world.ferry("resume", run.id)
    }
  }

  private static func rollBack(_ world: World) throws {
    guard let run = try world.onlyRun() else { return }
    // Refused once the destination has taken over: then the way forward must be open.
    if try world.ferry("rollback", run.id).code != 0 { try resumeUntilOver(world) }
  }

  /// Has the destination fail in the outage, so that each run goes back.
  private static func fail(_ world: World) throws {
    try Misbehaviour.install(in: world)
    try world.folder.write("misbehave", "destination receive-final error")
  }

  private func strikeEverywhere(_ victim: Victim, mode: String, failing: Bool = false) async throws {
    let complaints = try await Threads.run {
      let points = try Self.points(mode, failing: failing)
      return try Threads.map(Array(points.enumerated()), limit: 3) { index, name in
        let resumed = try self.strike(victim, mode, point: index + 1, .resume, failing)
        // A run that came to its end by itself would only do the same again.
        let undone = resumed.endedByItself ? [] : try self.strike(victim, mode, point: index + 1, .rollback, failing).wrong
        return (resumed.wrong + undone).map { "\(victim.rawValue) at \(name): \($0)" }
      }.flatMap { $0 }
    }
    #expect(complaints == [])
  }

  /// One run with one death, and the way out of it; answers what is wrong afterwards.
  private func strike(_ victim: Victim, _ mode: String, point: Int, _ way: Way, _ failing: Bool) throws -> (
    wrong: [String], endedByItself: Bool
  ) {
    let world = try World()
    if failing { try Self.fail(world) }
    var manifest = try world.manifestFile(mode)
    if mode == "copy" {
      manifest = try world.folder.write("world.yaml", try world.folder.read("world.yaml").replacing("END: b }", with: "END: b }, name: ''"))
    }
    let first = try world.ferry("run", manifest, fault: "\(victim.rawValue)@\(point)")
    if victim == .controller, first.code != 128 + SIGKILL { return (["the controller lived: \(first.code) \(first.errors)"], true) }
    let endedByItself = try world.onlyRun().map { ![.running, .incomplete].contains($0.status) } ?? true
    if !endedByItself {
      switch way {
      case .resume: try Self.resumeUntilOver(world)
      case .rollback: try Self.rollBack(world)
      }
    }
    return (try wrong(world, mode).map { "\(way.rawValue): \($0)" }, endedByItself)
  }

  private func wrong(_ world: World, _ mode: String) throws -> [String] {
    guard let run = try world.onlyRun() else { return world.serves("a") ? [] : ["no run, and the source does not serve"] }
    var wrong: [String] = []
    switch run.status {
    case .done: wrong += mode == "copy" ? try world.complaints(serving: "a") : try world.complaints(serving: "b")
    case .undone: wrong += try world.complaints(serving: "a")
    default: wrong.append("the run is \(run.status.rawValue): \(run.error?.description ?? "no error")")
    }
    if run.status == .undone, Files.exists(world.folder("b/ledger")) { wrong.append("the destination has kept its ledger") }
    let cleaned = try world.ferry("cleanup", run.id)
    if cleaned.code != 0 { wrong.append("cleanup: \(cleaned.errors)") }
    for side in ["a", "b"] {
      let left = Files.names(in: world.folder("\(side)/home/runs/\(run.id)"))
      if !left.isEmpty { wrong.append("left in \(side): \(left)") }
    }
    try? waitFor("the last processes to end", seconds: 20) { world.processes().isEmpty }
    let processes = world.processes()
    if !processes.isEmpty { wrong.append("\(processes.count) processes are left") }
    return wrong
  }
}
