import Ferry
import FerrySystem
import HostSupport
import TestSupport
import Testing

@Suite(
  "Whatever dies while a container moves with its memory", .serialized,
  .enabled(if: TestHosts.available && TestEngine.available && Needs.tree != nil)) struct LiveFaultTests
{
  /// Where something is struck: while the checkpoint is taken, while it travels, while it is restored, and when there is no way back. Every point
  /// for each victim with FERRY_ALL_POINTS=1.
  private static let strikes = [
    ("source-agent", "quiesce@source intended"), ("controller", "final"), ("destination-agent", "activate@destination intended"),
    ("source-agent", "retire@source intended"),
  ]

  @Test("the counter goes on in one place, from where it stood, and the other is clean")
  func strike() throws {
    let podmans = try Podmans(#require(Needs.tree))
    try podmans.count("calm")
    let list = podmans.folder("points")
    let calm = try podmans.ferry(fault: "list:\(list)", "run", podmans.manifest("calm"), "--json")
    #expect(calm.succeeded, "\(calm.reason) \(calm.output.suffix(3000))")
    let points = try podmans.folder.read("points").split(separator: "\n").map(String.init)
    try podmans.run("b", "podman rm --force --time 0 calm; podman volume rm calm-data")
    var strikes: [(String, String)] = []
    if Environment.all["FERRY_ALL_POINTS"] != nil {
      for victim in ["controller", "source-agent", "source-host", "destination-agent", "destination-host"] {
        strikes += points.indices.map { (victim, String($0 + 1)) }
      }
    } else {
      for (victim, wanted) in Self.strikes {
        strikes.append((victim, try #require(points.first { $0.hasPrefix(wanted) }, "\(wanted) is none of \(points)")))
      }
    }
    for (number, (victim, point)) in strikes.enumerated() {
      let wrong = try complaints(podmans, "struck\(number)", victim, point)
      #expect(wrong == [], "\(victim) at \(point)")
    }
  }

  /// One run with one loss, and the way out of it.
  private func complaints(_ podmans: Podmans, _ name: String, _ victim: String, _ point: String) throws -> [String] {
    try podmans.count(name)
    let first = try podmans.ferry(fault: "\(victim)@\(point)", "run", podmans.manifest(name), "--json")
    var last = first
    for _ in 0..<3 where ![0, 1].contains(last.code) {
      // What is left behind goes on; the run that has already taken over cannot go back.
      last = try podmans.ferry("resume", run(first.output), "--json")
    }
    switch last.code {
    case 0: return try podmans.complaints("b", name) + remains(podmans, "a", name)
    case 1: return try podmans.complaints("a", name) + remains(podmans, "b", name)
    default: return ["\(last.code): \(last.reason) \(last.output.suffix(2000)) \(first.output.suffix(2000))"]
    }
  }

  private func remains(_ podmans: Podmans, _ host: String, _ name: String) throws -> [String] {
    let remains = try podmans.remains(host, name)
    return remains == "" ? [] : ["left at \(host): \(remains)"]
  }

  /// The id in a run's events.
  private func run(_ events: String) throws -> String {
    for line in events.split(separator: "\n") {
      if let run = try? JSONValue(parsing: String(line))["run"]?.string { return run }
    }
    throw FerryError(.internal, "the run has no id: \(events.prefix(300))")
  }
}
