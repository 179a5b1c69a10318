import FerrySystem
import FoundationEssentials
import GRDB

/// The journal in one SQLite file; several controllers of one user share it.
public final class SQLiteJournal: Journal {
  private let database: DatabasePool

  /// Opens the file, which is made when there is none.
  public init(path: String) throws {
    try Files.makeFolder(Files.parent(of: path))
    var configuration = Configuration()
    configuration.busyMode = .timeout(60)
    configuration.prepareDatabase { database in
      // An intent that a power cut takes back is no intent: WAL with a sync at each commit.
      try database.execute(sql: "PRAGMA synchronous = FULL")
    }
    do {
      database = try DatabasePool(path: path, configuration: configuration)
      try database.write { database in
        try database.execute(
          sql: """
            CREATE TABLE IF NOT EXISTS run (id TEXT PRIMARY KEY, created REAL NOT NULL, entry TEXT NOT NULL) STRICT;
            CREATE TABLE IF NOT EXISTS step (
              id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES run ON DELETE CASCADE, epoch INTEGER NOT NULL, step TEXT NOT NULL,
              began REAL NOT NULL, ended REAL, outcome TEXT) STRICT;
            CREATE INDEX IF NOT EXISTS step_run ON step (run);
            """)
      }
    } catch {
      throw FerryError(.io, "cannot open the journal \(path): \(error)", hint: "set FERRY_STATE to a folder that can be written")
    }
  }

  /// Writes a new run; its id must not be taken. Throws `io` if the file cannot be written.
  public func create(_ run: RunEntry) throws {
    try write { try $0.execute(sql: "INSERT INTO run VALUES (?, ?, ?)", arguments: [run.id, run.created, Self.text(run)]) }
  }

  /// One run by its id or a unique beginning of it; nil if there is none. Throws `invalid` if several begin so.
  public func run(_ id: String) throws -> RunEntry? {
    let found = try database.read {
      try String.fetchAll($0, sql: "SELECT entry FROM run WHERE substr(id, 1, ?) = ?", arguments: [id.count, id])
    }
    if found.count > 1 {
      throw FerryError(.invalid, "'\(id)' is the beginning of \(found.count) runs", hint: "give more of its id; `ferry history` lists them")
    }
    return try found.first.map { try Self.value(RunEntry.self, $0) }
  }

  /// All runs, the newest first.
  public func runs() throws -> [RunEntry] {
    try database.read { try String.fetchAll($0, sql: "SELECT entry FROM run ORDER BY created DESC") }.map {
      try Self.value(RunEntry.self, $0)
    }
  }

  /// Changes a run's entry in one transaction. Throws `not-found` for an unknown id; if `change` throws, nothing is written.
  public func update(_ id: String, _ change: (inout RunEntry) throws -> Void) throws {
    try write { database in
      guard let text = try String.fetchOne(database, sql: "SELECT entry FROM run WHERE id = ?", arguments: [id]) else {
        throw FerryError(.notFound, "there is no run \(id)")
      }
      var entry = try Self.value(RunEntry.self, text)
      try change(&entry)
      try database.execute(sql: "UPDATE run SET entry = ? WHERE id = ?", arguments: [Self.text(entry), id])
    }
  }

  /// Notes intents under the run's present epoch, all or none; synced to disk when this returns. Answers an id for each, in order.
  public func intend(_ run: String, _ steps: [Step]) throws -> [Int64] {
    try write { database in
      guard let text = try String.fetchOne(database, sql: "SELECT entry FROM run WHERE id = ?", arguments: [run]) else {
        throw FerryError(.notFound, "there is no run \(run)")
      }
      let epoch = try Self.value(EpochOnly.self, text).epoch
      return try steps.map { step in
        try database.execute(
          sql: "INSERT INTO step (run, epoch, step, began) VALUES (?, ?, ?, ?)", arguments: [run, epoch, Self.text(step), wallClock()])
        return database.lastInsertedRowID
      }
    }
  }

  /// Notes outcomes by the ids that `intend` answered, all or none; synced to disk when this returns.
  public func conclude(_ outcomes: [(id: Int64, Outcome)]) throws {
    try write { database in
      for (id, outcome) in outcomes {
        try database.execute(sql: "UPDATE step SET ended = ?, outcome = ? WHERE id = ?", arguments: [wallClock(), Self.text(outcome), id])
      }
    }
  }

  /// All steps of a run, in the order of their intents.
  public func steps(_ run: String) throws -> [StepEntry] {
    try database.read {
      try Row.fetchAll($0, sql: "SELECT epoch, step, began, ended, outcome FROM step WHERE run = ? ORDER BY id", arguments: [run])
    }
    .map { row in
      StepEntry(
        step: try Self.value(Step.self, row["step"]), epoch: row["epoch"], began: row["began"], ended: row["ended"],
        outcome: try (row["outcome"] as String?).map { try Self.value(Outcome.self, $0) })
    }
  }

  /// Removes a run and its steps; one that is not there is no error.
  public func remove(_ id: String) throws {
    try write { try $0.execute(sql: "DELETE FROM run WHERE id = ?", arguments: [id]) }
  }

  private struct EpochOnly: Decodable { var epoch: Int }

  private func write<Value>(_ body: (Database) throws -> Value) throws -> Value {
    do { return try database.write(body) } catch let error as DatabaseError {
      throw FerryError(
        .io, "cannot write the journal: \(error.message ?? error.description)",
        hint: "the run stops where it is; make room, then `ferry resume`")
    }
  }

  private static func text(_ value: some Encodable) throws -> String { String(decoding: try JSONValue.encode(value), as: UTF8.self) }
  private static func value<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
    try JSONValue.decode(type, from: Array(text.utf8))
  }
}

/// A journal in memory, for embedders and tests that outlive no process.
public final class MemoryJournal: Journal {
  private struct State {
    var runs: [String: RunEntry] = [:]
    var steps: [(run: String, entry: StepEntry)] = []
  }
  private let state = Lock(State())

  /// An empty journal.
  public init() {}

  /// Keeps a new run.
  public func create(_ run: RunEntry) throws { state.withLock { $0.runs[run.id] = run } }
  /// One run by its full id; nil if there is none.
  public func run(_ id: String) throws -> RunEntry? { state.withLock { $0.runs[id] } }
  /// All runs, the newest first.
  public func runs() throws -> [RunEntry] { state.withLock { $0.runs.values.sorted { $0.created > $1.created } } }
  /// Changes a run's entry. Throws `not-found` for an unknown id; if `change` throws, nothing is changed.
  public func update(_ id: String, _ change: (inout RunEntry) throws -> Void) throws {
    try state.withLock { state in
      guard var entry = state.runs[id] else { throw FerryError(.notFound, "there is no run \(id)") }
      try change(&entry)
      state.runs[id] = entry
    }
  }
  /// Keeps intents under the run's present epoch. Answers an id for each, in order.
  public func intend(_ run: String, _ steps: [Step]) throws -> [Int64] {
    state.withLock { state in
      steps.map { step in
        state.steps.append((run, StepEntry(step: step, epoch: state.runs[run]?.epoch ?? 0, began: wallClock())))
        return Int64(state.steps.count - 1)
      }
    }
  }
  /// Keeps outcomes by the ids that `intend` answered.
  public func conclude(_ outcomes: [(id: Int64, Outcome)]) throws {
    state.withLock { state in
      for (id, outcome) in outcomes {
        state.steps[Int(id)].entry.ended = wallClock()
        state.steps[Int(id)].entry.outcome = outcome
      }
    }
  }
  /// All steps of a run, in the order of their intents.
  public func steps(_ run: String) throws -> [StepEntry] { state.withLock { $0.steps.filter { $0.run == run }.map(\.entry) } }
  /// Forgets a run and its steps.
  public func remove(_ id: String) throws {
    state.withLock { state in
      state.runs[id] = nil
      state.steps.removeAll { $0.run == id }
    }
  }
}
