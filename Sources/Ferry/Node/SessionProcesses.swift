import FerrySystem
import Glibc

/// The processes of one end's sessions, on disk, so that a later session or the watchdog can end what is left of an earlier one.
struct SessionProcesses: Sendable {
  private let path: String

  init(folder: String) { path = "\(folder)/processes" }

  /// Notes a process before it can do anything that matters.
  func add(_ identity: ProcessIdentity) throws {
    let file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_APPEND)
    try file.write(JSONValue.encode(identity) + [10])
  }

  /// Kills all but this process and forgets them. A stopped process dies too: what it had in hand is never done.
  func killAll() throws {
    guard Files.exists(path) else { return }
    let identities = try Files.read(path).split(separator: 10).compactMap { try? JSONValue.decode(ProcessIdentity.self, from: Array($0)) }
    let others = identities.filter { $0 != .current }
    // Youngest first: an agent that sees its host die would only report it, but a host must not outlive its agent by a step.
    for identity in others { identity.kill() }
    for identity in others { try waitUntilGone(identity) }
    try Files.remove(path)
    if identities.contains(.current) { try add(.current) }
  }

  private func waitUntilGone(_ identity: ProcessIdentity) throws {
    for _ in 0..<2000 where identity.isAlive { usleep(5000) }
    guard !identity.isAlive else {
      throw FerryError(
        .retry, "process \(identity.pid) of an earlier session cannot be killed",
        hint: "it may hang in the kernel; see to it, then `ferry resume`")
    }
  }
}
