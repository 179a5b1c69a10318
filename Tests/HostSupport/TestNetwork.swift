import FerrySystem
import Glibc

/// The links between test hosts: one veth pair for each pair of hosts. A host has one address on all its links, so that it is called the same
/// from everywhere. No bridge and no routing: a small kernel has neither.
final class TestNetwork: Sendable {
  /// A host as the network knows it.
  struct End: Sendable {
    var number: Int
    /// A process in its namespace; nil: this machine itself.
    var pid: Int32?
  }

  /// Distinguishes networks of tests that run at once, and is held by a lock that goes with the process.
  private let group: Int
  private let lock: FileLock

  init() throws {
    for _ in 0..<64 {
      let group = Int.random(in: 0..<512)
      if let lock = try FileLock(ifFree: "/run/ferry-test-network-\(group).lock") {
        self.group = group
        self.lock = lock
        return
      }
    }
    throw FerryError(.internal, "all test networks are in use")
  }

  deinit { unlink("/run/ferry-test-network-\(group).lock") }

  /// In the range that is set aside for testing (RFC 2544), and a local IPv6 prefix.
  func address(_ number: Int) -> String { "198.\(18 + group / 256).\(group % 256).\(number)" }
  func address6(_ number: Int) -> String { "fd46:6572:7279:\(String(group + 1, radix: 16))::\(number)" }

  private func device(_ number: Int, to other: Int) -> String { "fy\(group)n\(number)x\(other)" }
  private func hardware(_ number: Int, to other: Int) -> String {
    "02:66:\(byte(group / 256)):\(byte(group % 256)):\(byte(number)):\(byte(other))"
  }
  private func byte(_ value: Int) -> String { (value < 16 ? "0" : "") + String(value, radix: 16) }

  /// Makes the link between two hosts.
  func link(_ one: End, _ other: End) throws {
    let (near, far) = (device(one.number, to: other.number), device(other.number, to: one.number))
    // A host that was killed takes its end along, and with it ours, but the kernel takes its time.
    _ = try? Command(prefix(one) + ["ip", "link", "del", near]).run()
    try ip(
      one,
      ["link", "add", near, "type", "veth", "peer", "name", far] + (other.pid.map { ["netns", "\($0)"] } ?? []))
    try setUp(one, other)
  }

  /// Puts a wire that a test has made in the place of the link.
  func link(_ one: End, _ other: End, through wire: TestWire.Quality) throws -> TestWire {
    let names = [(one, other), (other, one)].map { device($0.number, to: $1.number) }
    _ = try? Command(prefix(one) + ["ip", "link", "del", names[0]]).run()
    let made = try TestWire(names[0], names[1], wire)
    for (end, name) in zip([one, other], names) {
      if let pid = end.pid { try ip(End(number: end.number, pid: nil), ["link", "set", name, "netns", "\(pid)"]) }
    }
    try setUp(one, other)
    return made
  }

  private func setUp(_ one: End, _ other: End) throws {
    for (end, peer) in [(one, other), (other, one)] {
      let device = device(end.number, to: peer.number)
      try ip(end, ["link", "set", device, "address", hardware(end.number, to: peer.number), "up"])
      try ip(end, ["addr", "add", address(end.number), "peer", address(peer.number), "dev", device])
      try ip(end, ["-6", "addr", "add", address6(end.number), "peer", address6(peer.number), "dev", device, "nodad"])
      try setNeighbour(end, peer, hardware(peer.number, to: end.number))
    }
  }

  /// The neighbour's hardware address is set by hand in any case; of a cut link it is nobody's.
  func setCut(_ cut: Bool, _ one: End, _ other: End) throws {
    for (end, peer) in [(one, other), (other, one)] {
      try setNeighbour(end, peer, cut ? "02:66:ff:ff:ff:ff" : hardware(peer.number, to: end.number))
    }
  }

  private func setNeighbour(_ end: End, _ peer: End, _ hardware: String) throws {
    for address in [address(peer.number), address6(peer.number)] {
      try ip(end, ["neigh", "replace", address, "lladdr", hardware, "nud", "permanent", "dev", device(end.number, to: peer.number)])
    }
  }

  private func prefix(_ end: End) -> [String] { end.pid.map { ["nsenter", "-t", "\($0)", "-n", "--"] } ?? [] }

  private func ip(_ end: End, _ arguments: [String]) throws {
    let outcome = try Command(prefix(end) + ["ip"] + arguments).run()
    guard outcome.succeeded else { throw FerryError(.internal, "ip \(arguments.joined(separator: " ")): \(outcome.reason)") }
  }
}
