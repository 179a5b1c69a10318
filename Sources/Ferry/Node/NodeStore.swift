import FerrySystem
import Glibc

/// A node's folder: `runs/RUN/SIDE/` holds all that one end of one run keeps there, `locks/` who owns which target.
public struct NodeStore: Sendable {
  /// The node's folder, absolute.
  public let home: String

  /// The store below a folder, which is made when something is first kept.
  public init(home: String) { self.home = home }

  /// Where a node keeps things unless it is told: `/var/lib/ferry` for root, else below the user's state folder.
  public static var defaultHome: String {
    if let told = Environment.all["FERRY_HOME"] { return Files.absolute(told) }
    if geteuid() == 0 { return "/var/lib/ferry" }
    let state = Environment.all["XDG_STATE_HOME"] ?? "\(Environment.all["HOME"] ?? ".")/.local/state"
    return Files.absolute("\(state)/ferry")
  }

  /// The folder of one end of a run.
  func folder(_ run: String, _ side: Side) -> String { "\(home)/runs/\(run)/\(side.rawValue)" }

  /// Ids become path components: only what Ferry itself makes is let in.
  static func checked(run: String) throws -> String {
    guard !run.isEmpty, run.utf8.count <= 64, run.utf8.allSatisfy({ (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }) else {
      throw FerryError(.invalid, "'\(run.prefix(64))' is not a run's id")
    }
    return run
  }

  /// The record as it is now, without its lock; nil if this node knows no such run.
  public func record(_ run: String, _ side: Side) throws -> NodeRecord? {
    let path = "\(folder(try Self.checked(run: run), side))/record.json"
    guard Files.exists(path) else { return nil }
    do { return try JSONValue.decode(NodeRecord.self, from: Files.read(path)) } catch {
      throw FerryError.wrap(error).inside("the node's record \(path)")
    }
  }

  /// All records of this node.
  public func records() throws -> [NodeRecord] {
    try Files.names(in: "\(home)/runs").flatMap { run in
      try Side.allCases.compactMap { side in
        guard var record = try record(run, side) else { return nil }
        if record.state == .quiesced { record.deadline = Watchdog.deadline(folder: folder(run, side)) }
        return record
      }
    }
  }

  /// Runs one act alone: no other process of any session changes this record meanwhile. `epoch` nil: a person acts.
  func exclusively<Value>(_ run: String, _ side: Side, epoch: Int?, _ act: (inout Held) throws -> Value) throws -> Value {
    let folder = folder(try Self.checked(run: run), side)
    guard Files.isFolder(folder) else {
      throw FerryError(
        .notFound, "this node knows no run \(run) as \(side)", hint: "its home is \(home); `ferry node status` lists its runs")
    }
    let lock = try FileLock("\(folder)/record.lock")
    defer { lock.unlock() }
    guard let record = try record(run, side) else {
      throw FerryError(.notFound, "this node knows no run \(run) as \(side)")
    }
    if let epoch, epoch != record.epoch {
      throw FerryError(
        .conflict, "a message of session \(epoch) came to run \(run), which session \(record.epoch) has taken over; nothing was changed")
    }
    var held = Held(record: record, path: "\(folder)/record.json")
    return try act(&held)
  }

  /// A record whose lock is held.
  struct Held {
    private(set) var record: NodeRecord
    fileprivate let path: String

    fileprivate init(record: NodeRecord, path: String) {
      self.record = record
      self.path = path
    }

    /// Changes it; on disk when it returns.
    mutating func update(_ change: (inout NodeRecord) -> Void) throws {
      var next = record
      change(&next)
      guard next != record else { return }
      try Files.replace(path, with: JSONValue.encode(next))
      record = next
    }

    /// The state must be one of these, or nothing is done.
    func require(_ states: NodeRecord.State..., to act: String) throws {
      guard states.contains(record.state) else {
        let note = record.note.map { ": \($0)" } ?? ""
        throw FerryError(
          .conflict, "cannot \(act) run \(record.run): the \(record.side) is \(record.state.rawValue)\(note); nothing was changed",
          hint: "`ferry node status` on that node tells more")
      }
    }
  }

  /// Makes or takes over the record for a new session: a lower or equal epoch is refused. Answers the record as it stands then.
  func open(_ proposal: NodeRecord) throws -> NodeRecord {
    let folder = folder(try Self.checked(run: proposal.run), proposal.side)
    try Files.makeFolder(folder)
    let lock = try FileLock("\(folder)/record.lock")
    defer { lock.unlock() }
    var next = proposal
    if let old = try record(proposal.run, proposal.side) {
      guard old.epoch < proposal.epoch else {
        throw FerryError(.conflict, "session \(proposal.epoch) of run \(old.run) is too old: session \(old.epoch) has taken over")
      }
      next = old
      next.epoch = proposal.epoch
    }
    try Files.replace("\(folder)/record.json", with: JSONValue.encode(next))
    return next
  }
}
