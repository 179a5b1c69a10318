@testable import Ferry
import FerrySystem
import HostSupport
import RunSupport
import TestSupport
import Testing

/// The fault matrix with a container: its settings, its image, its volumes and its layer are four things to undo. Docker is struck in every other
/// phase and Podman in those between; with FERRY_ALL_POINTS=1 both in all.
@Suite(
  "Whatever dies while a container moves between hosts",
  .enabled(if: TestHosts.available && TestEngine.available && Needs.tree != nil)) struct ContainerFaultTests
{
  private static let victims: [FaultMatrix.Victim] = [.controller, .destinationHost, .sourceHost, .destinationAgent, .sourceAgent]

  @Test(
    "struck in each phase, it serves at one host with all that it counted, and the other host has nothing of it",
    arguments: TestEngine.Kind.allCases)
  func matrix(_ kind: TestEngine.Kind) throws {
    let hosts = try EngineHosts(#require(Needs.tree), kind)
    try hosts.startCounter()
    var place = "a"
    // Undisturbed, to learn the points.
    let all = try move(hosts, &place, fault: "list:\(hosts.folder("points"))", rollBack: false)
    #expect(all == [] && place == "b")
    let points = try hosts.folder.read("points").split(separator: "\n").map(String.init)
    let chosen = FaultMatrix.boundaries(points)
    #expect(chosen.count > 8, "\(chosen)")
    let isWhole = Environment.all["FERRY_ALL_POINTS"] != nil
    for (index, point) in chosen.enumerated() where isWhole || index % 2 == (kind == .docker ? 0 : 1) {
      // Each phase loses another process.
      let victim = Self.victims[(index + (isWhole && kind == .podman ? 2 : 0)) % Self.victims.count]
      let complaints = try move(hosts, &place, fault: "\(victim.rawValue)@\(point)", rollBack: index / 2 % 2 == 0)
      #expect(complaints == [], "\(victim.rawValue) at \(point)")
    }
  }

  /// Moves it from where it is to the other host, which has nothing, and takes the way out if the run did not end by itself. Answers what is wrong.
  private func move(_ hosts: EngineHosts, _ place: inout String, fault: String, rollBack: Bool) throws -> [String] {
    let (from, to) = (place, place == "a" ? "b" : "a")
    _ = try hosts.call(to, "\(hosts.kind) rmi box")
    #expect(try hosts.inventory(to) == [])
    let before = try hosts.inventory(from)
    func runs() throws -> [RunEntry] {
      let journal = "\(hosts.state)/journal.sqlite"
      return Files.exists(journal) ? try SQLiteJournal(path: journal).runs() : []
    }
    let known = try Set(runs().map(\.id))
    let outcome = try hosts.ferry(on: from, fault: fault, "move", "\(hosts.kind):web", hosts.hosts[to].node, "--json")
    func run() throws -> RunEntry? { try runs().first { !known.contains($0.id) } }
    for command in rollBack ? ["rollback", "resume", "resume"] : ["resume", "resume", "resume"] {
      guard let run = try run(), [.running, .incomplete].contains(run.status) else { break }
      _ = try hosts.ferry(on: from, command, run.id)
    }
    guard let run = try run() else { return ["there is no run: \(outcome.reason)"] }
    switch run.status {
    case .done: place = to
    case .undone: break
    default: return ["the run is \(run.status.rawValue): \(run.error?.description ?? "no error")"]
    }
    var complaints = try hosts.complaints(counterAt: place)
    let left = try hosts.inventory(place == from ? to : from)
    // A move leaves the image where it was.
    if left != (place == from ? [] : before.filter { $0.hasPrefix("image ") }) { complaints.append("left behind: \(left)") }
    if try hosts.inventory(place) != before { complaints.append("at \(place): \(try hosts.inventory(place)), it was \(before)") }
    if try hosts.run(place, "\(hosts.kind) container inspect web").contains(run.id) {
      complaints.append("the container has a name of the run's in it")
    }
    return complaints
  }
}
