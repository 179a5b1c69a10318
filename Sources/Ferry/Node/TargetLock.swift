import FerrySystem

/// Which run owns a target of this node: no two runs fill, read or swap the same state. A lock outlives processes and knows its owner.
public struct TargetLock: Sendable, Codable, Hashable {
  /// The run that owns the target.
  public var run: String
  /// The run's end that this node is.
  public var side: Side
  /// For people: provider and endpoint.
  public var target: String
  /// The agent that took it, with its start time.
  public var owner: ProcessIdentity
  /// Seconds since 1970.
  public var since: Double
}

extension NodeStore {
  private func path(of target: String) -> String { "\(home)/locks/\(SHA256.hex(Array(target.utf8)).prefix(32)).json" }

  /// Takes the lock for a run, or says who has it.
  func lock(_ target: String, run: String, side: Side) throws {
    try Files.makeFolder("\(home)/locks")
    let guardian = try FileLock("\(home)/locks/guard")
    defer { guardian.unlock() }
    let path = path(of: target)
    if Files.exists(path), let held = try? JSONValue.decode(TargetLock.self, from: Files.read(path)), held.run != run {
      let owner =
        held.owner.isAlive
        ? "at work since \(Timestamp.text(held.since)), process \(held.owner.pid)" : "whose process \(held.owner.pid) is gone"
      throw FerryError(
        .conflict, "\(target) belongs to run \(held.run), \(owner); nothing was changed",
        hint: "`ferry resume \(held.run)` or `ferry rollback \(held.run)` ends that run; `ferry unlock \(held.run)` gives up its locks",
        code: FerryError.targetLocked)
    }
    try Files.replace(path, with: JSONValue.encode(TargetLock(run: run, side: side, target: target, owner: .current, since: wallClock())))
  }

  /// All locks of this node, or of one run.
  public func locks(of run: String? = nil) -> [TargetLock] {
    Files.names(in: "\(home)/locks").filter { $0.hasSuffix(".json") }
      .compactMap { try? JSONValue.decode(TargetLock.self, from: Files.read("\(home)/locks/\($0)")) }
      .filter { run == nil || $0.run == run }
  }

  /// Lets go of a run's targets at one end.
  func unlock(run: String, side: Side) throws {
    for lock in locks(of: run) where lock.side == side { try Files.remove(path(of: lock.target)) }
  }
}
