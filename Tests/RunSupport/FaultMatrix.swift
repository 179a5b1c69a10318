@testable import Ferry
import FerrySystem
import Glibc
import TestSupport

/// One loss a run, at each of a run's points, and the way out of it: what is left behind can always be resumed, and always be undone until the
/// destination has taken over. The points are enumerated by fault injection, so a new step is struck by itself.
package struct FaultMatrix: Sendable {
  /// What is lost.
  package enum Victim: String, CaseIterable, Sendable {
    case controller, sourceAgent = "source-agent", destinationAgent = "destination-agent", sourceHost = "source-host",
      destinationHost = "destination-host", watchdog
    /// A power cut; only where the node is a host of its own.
    case sourceMachine = "source-machine", destinationMachine = "destination-machine"

    /// Those that are processes.
    package static let processes = allCases.filter { $0.machine == nil }

    /// The node that goes down.
    var machine: String? { self == .sourceMachine ? "a" : self == .destinationMachine ? "b" : nil }
  }

  private enum Way: String { case resume, rollback }

  private let victim: Victim
  private let mode: String
  /// The destination fails in the outage, so that each run goes back.
  private let failing: Bool
  private let hosts: [String]
  /// Only the points at which a phase begins, and the point of no return.
  private let sampled: Bool

  package init(_ victim: Victim, mode: String = "move", failing: Bool = false, hosts: [String] = [], sampled: Bool = false) {
    self.victim = victim
    self.mode = mode
    self.failing = failing
    self.hosts = hosts
    self.sampled = sampled
  }

  /// The names of the points of a run that nothing disturbs. They are the same wherever the nodes are.
  package static func points(_ mode: String = "move", failing: Bool = false) throws -> [String] {
    let world = try World()
    if failing { try fail(world) }
    let list = world.folder("points")
    let outcome = try world.ferry("run", world.manifestFile(mode), fault: "list:\(list)")
    guard outcome.code == (failing ? 1 : 0) else {
      throw FerryError(.internal, "the undisturbed run failed: \(outcome.output) \(outcome.errors)")
    }
    return try world.folder.read("points").split(separator: "\n").map(String.init)
  }

  /// The points at which a phase begins, and the one before the destination's services are started.
  package static func boundaries(_ points: [String]) -> [String] {
    var seen: Set<Substring> = []
    return points.filter { name in
      name == "activate/start@destination intended" || seen.insert(name.prefix { $0.isLetter }).inserted
    }
  }

  /// Strikes everywhere; answers what was wrong.
  package func complaints() throws -> [String] {
    let points = try Self.points(mode, failing: failing)
    let chosen = sampled ? Set(Self.boundaries(points)) : Set(points)
    return try Threads.map(points.enumerated().filter { chosen.contains($1) }, limit: 3) { index, name in
      // Of a sample each point takes one way out, its neighbours the other.
      let way: Way = sampled && index % 2 == 0 ? .rollback : .resume
      let first = try strike(point: index + 1, way)
      // A run that came to its end by itself would only do the same again.
      let second = sampled || first.endedByItself ? [] : try strike(point: index + 1, .rollback).wrong
      return (first.wrong + second).map { "\(victim.rawValue) at \(name): \($0)" }
    }.flatMap { $0 }
  }

  private static func fail(_ world: World) throws {
    try Misbehaviour.install(in: world)
    try world.folder.write("misbehave", "destination receive-final error")
  }

  private func resumeUntilOver(_ world: World) throws {
    for _ in 0..<3 {
      guard let run = try world.onlyRun(), [.running, .incomplete].contains(run.status) else { return }
      try world.ferry("resume", run.id)
    }
  }

  private func rollBack(_ world: World) throws {
    guard let run = try world.onlyRun() else { return }
    // Refused once the destination has taken over: then the way forward must be open.
    if try world.ferry("rollback", run.id).code != 0 { try resumeUntilOver(world) }
  }

  /// One run with one loss, and the way out of it; answers what is wrong afterwards.
  private func strike(point: Int, _ way: Way) throws -> (wrong: [String], endedByItself: Bool) {
    let world = try World(hosts: hosts)
    if failing { try Self.fail(world) }
    var manifest = try world.manifestFile(mode)
    if mode == "copy" {
      manifest = try world.folder.write("world.yaml", try world.folder.read("world.yaml").replacing("END: b }", with: "END: b }, name: ''"))
    }
    if let machine = victim.machine {
      _ = try world.ferry("run", manifest, at: String(point)) { try world.reboot(machine) }
    } else {
      let first = try world.ferry("run", manifest, fault: "\(victim.rawValue)@\(point)")
      if victim == .controller, first.code != 128 + SIGKILL { return (["the controller lived: \(first.code) \(first.errors)"], true) }
    }
    let endedByItself = try world.onlyRun().map { ![.running, .incomplete].contains($0.status) } ?? true
    if !endedByItself {
      switch way {
      case .resume: try resumeUntilOver(world)
      case .rollback: try rollBack(world)
      }
    }
    return (try wrong(world).map { "\(way.rawValue): \($0)" }, endedByItself)
  }

  private func wrong(_ world: World) throws -> [String] {
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
      let left = Files.names(in: "\(world.home(side))/runs/\(run.id)")
      if !left.isEmpty { wrong.append("left in \(side): \(left)") }
    }
    try? waitFor("the last processes to end", seconds: 20) { world.processes().isEmpty }
    let processes = world.processes()
    if !processes.isEmpty { wrong.append("\(processes.count) processes are left") }
    return wrong
  }
}
