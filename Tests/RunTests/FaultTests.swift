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
  static func points(_ mode: String) throws -> [String] {
    let world = try World()
    let list = world.folder("points")
    let outcome = try world.ferry("run", world.manifestFile(mode), fault: "list:\(list)")
    guard outcome.code == 0 else { throw FerryError(.internal, "the undisturbed run failed: \(outcome.output) \(outcome.errors)") }
    return try world.folder.read("points").split(separator: "\n").map(String.init)
  }

  @Test("a resume, or the run itself, ends with one end serving all that was accepted", arguments: Victim.allCases)
  func resume(victim: Victim) async throws {
    try await strikeEverywhere(victim) { world in try Self.resumeUntilOver(world) }
  }

  @Test("a rollback brings the source back, or is refused because the destination has taken over", arguments: Victim.allCases)
  func rollback(victim: Victim) async throws {
    try await strikeEverywhere(victim) { world in
      guard let run = try world.onlyRun(), [.running, .incomplete].contains(run.status) else { return }
      let back = try world.ferry("rollback", run.id)
      if back.code == 0 { return }
      // Refused: then the way forward must be open.
      try Self.resumeUntilOver(world)
    }
  }

  @Test("a copy that loses its controller leaves the source serving")
  func copy() async throws {
    try await strikeEverywhere(.controller, mode: "copy") { world in try Self.resumeUntilOver(world) }
  }

  private static func resumeUntilOver(_ world: World) throws {
    for _ in 0..<3 {
      guard let run = try world.onlyRun(), [.running, .incomplete].contains(run.status) else { return }
      try world.ferry("resume", run.id)
    }
  }

  private func strikeEverywhere(_ victim: Victim, mode: String = "move", after: @escaping @Sendable (World) throws -> Void) async throws {
    let complaints = try await Threads.run {
      let points = try Self.points(mode)
      return try Threads.map(Array(points.enumerated()), limit: 3) { index, name in
        try self.strike(victim, mode, point: index + 1, after: after).map { "\(victim.rawValue) at \(name): \($0)" }
      }.flatMap { $0 }
    }
    #expect(complaints == [])
  }

  /// One run with one death; answers what is wrong afterwards.
  private func strike(_ victim: Victim, _ mode: String, point: Int, after: (World) throws -> Void) throws -> [String] {
    let world = try World()
    var manifest = try world.manifestFile(mode)
    if mode == "copy" {
      manifest = try world.folder.write("world.yaml", try world.folder.read("world.yaml").replacing("END: b }", with: "END: b }, name: ''"))
    }
    let first = try world.ferry("run", manifest, fault: "\(victim.rawValue)@\(point)")
    if victim == .controller, first.code != 128 + SIGKILL { return ["the controller lived: \(first.code) \(first.errors)"] }
    try after(world)
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
