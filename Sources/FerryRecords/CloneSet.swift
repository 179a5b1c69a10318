import FerrySystem
import Haystack

/// A clone set: a record of the client that says what is cloned from where.
public struct CloneSet: Sendable, Hashable {
  /// The record's id.
  public var id: String
  /// The project, or the node, that is cloned from; a node's id with or without `n:` in front.
  public var server: String
  /// What is cloned.
  public var filter: String

  /// Reads a clone set's record.
  public init(_ record: HDict) throws {
    guard let id = record.id?.id, record["cloneSet"] != nil else {
      throw FerryError(.invalid, "the record is no clone set: it has no 'cloneSet'")
    }
    guard case .string(let server)? = record["cloneProj"], case .string(let filter)? = record["cloneFilter"] else {
      throw FerryError(.invalid, "clone set @\(id) needs the texts 'cloneProj' and 'cloneFilter'")
    }
    do { _ = try Filter(filter) } catch { throw FerryError.wrap(error).inside("clone set @\(id)") }
    self.id = id
    self.server = server
    self.filter = filter
  }

  /// A clone set.
  public init(id: String, server: String, filter: String) {
    (self.id, self.server, self.filter) = (id, server, filter)
  }

  /// Its record.
  public var record: HDict {
    ["id": .ref(HRef(id)), "cloneSet": .marker, "cloneProj": .string(server), "cloneFilter": .string(filter)]
  }

  /// Whether a server's project is the one that is meant.
  func means(_ project: String) -> Bool {
    let node = server.hasPrefix("n:") ? String(server.dropFirst(2)) : server
    return project.isEmpty || server.isEmpty || node == project || server == project
  }
}

/// What a client knows of one of its clone sets; the debug view.
public struct CloneState: Sendable, Hashable {
  /// The clone set's id.
  public var id: String
  /// The filter that the clones came by.
  public var filter = ""
  /// The server's project.
  public var server = ""
  /// Clones, and what they are.
  public var digest = SetDigest()
  /// Up to where the server's log was followed.
  var cursor = CloneCursor()
  /// Nanoseconds since 1970; nil: never.
  public var lastSub: Int64?
  /// When differences were last found and mended.
  public var lastSync: Int64?
  /// When a clone last changed.
  public var lastUpdate: Int64?
  /// `overMax`, `overlaps`, `mismatch`.
  public var flags: Set<String> = []
  /// Whether clones were changed behind our back, so that the digest is to be made anew.
  var isStale = false
}

extension RecordStore {
  /// All clone sets.
  public func cloneSets() throws -> [CloneSet] {
    var sets: [CloneSet] = []
    try forEach(Filter("cloneSet"), byID: true) {
      sets.append(try CloneSet($0.tree))
      return true
    }
    return sets
  }

  /// The clone set with an id.
  public func cloneSet(_ id: String) throws -> CloneSet? { try read(id).map { try CloneSet($0.tree) } }

  /// Makes or changes a clone set's record; says whether it was made.
  @discardableResult public func put(_ set: CloneSet) throws -> Bool {
    if let known = try cloneSet(set.id) {
      if known != set { try commit([.update(id: set.id, set.record)]) }
      return false
    }
    try commit([.add(set.record)])
    return true
  }

  /// What is known of a clone set.
  public func cloneState(_ id: String) throws -> CloneState {
    var state = CloneState(id: id)
    let statement = try database.statement(
      "SELECT filter, server, count, digest, epoch, seq, last_sub, last_sync, last_update, flags FROM clone_sets WHERE id = ?"
    ).bind(1, id)
    defer { statement.reset() }
    guard try statement.step() else { return state }
    state.filter = statement.text(0)
    state.server = statement.text(1)
    state.isStale = statement.int(2) < 0
    state.digest = SetDigest(count: max(0, statement.int(2)), bytes: statement.bytes(3)) ?? SetDigest()
    state.cursor = CloneCursor(epoch: statement.int(4), seq: statement.int(5))
    func time(_ column: Int32) -> Int64? { statement.isNull(column) ? nil : statement.int(column) }
    (state.lastSub, state.lastSync, state.lastUpdate) = (time(6), time(7), time(8))
    state.flags = Set(statement.text(9).split(separator: " ").map(String.init))
    return state
  }

  func save(_ state: CloneState) throws {
    try database.statement("INSERT OR REPLACE INTO clone_sets VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(1, state.id).bind(2, state.filter).bind(3, state.server).bind(4, state.digest.count).bind(5, bytes: state.digest.bytes)
      .bind(6, state.cursor.epoch).bind(7, state.cursor.seq).bind(8, state.lastSub).bind(9, state.lastSync).bind(10, state.lastUpdate)
      .bind(11, state.flags.sorted().joined(separator: " ")).run()
  }

  /// Work that may change clones, all or none. `isBulk`: it mostly adds, and very many.
  func asApplier<Result>(isBulk: Bool = false, _ work: () throws -> Result) throws -> Result {
    do {
      return try database.transaction {
        try database.execute("UPDATE guard SET applier = 1")
        let result = try isBulk ? withoutAdditionTriggers(work) : work()
        try database.execute("UPDATE guard SET applier = 0")
        return result
      }
    } catch {
      forgetShapes()
      throw error
    }
  }

  /// Clones whose clone set is gone.
  public func orphans(_ body: (PackedDict) throws -> Bool) throws {
    try rows(nil, where: "clone_set IS NOT NULL AND clone_set NOT IN (SELECT id FROM records WHERE clone_set IS NULL)") {
      try body(PackedDict(bytes: Array($0.tags)))
    }
  }

  /// Removes the clones whose clone set is gone; answers how many.
  @discardableResult public func removeOrphans() throws -> Int {
    try asApplier {
      try database.statement(
        "DELETE FROM records WHERE clone_set IS NOT NULL AND clone_set NOT IN (SELECT id FROM records WHERE clone_set IS NULL)"
      ).run()
      let count = database.changes
      try database.execute(
        """
        DELETE FROM clone_sets WHERE id NOT IN (SELECT id FROM records WHERE clone_set IS NULL);
        DELETE FROM passed_over WHERE clone_set NOT IN (SELECT id FROM records WHERE clone_set IS NULL);
        """)
      return count
    }
  }

  /// Removes a clone set with all its clones.
  public func removeCloneSet(_ id: String) throws {
    try asApplier {
      for sql in [
        "DELETE FROM records WHERE clone_set = ?", "DELETE FROM clone_sets WHERE id = ?", "DELETE FROM passed_over WHERE clone_set = ?",
        "DELETE FROM records WHERE id = ? AND clone_set IS NULL",
      ] { try database.statement(sql).bind(1, id).run() }
    }
  }

  /// Records that a clone set's filter matches and that are not its clones, because somebody else has the id: another clone set, or the
  /// project itself.
  public func passedOver(_ set: String) throws -> [String] {
    let statement = try database.prepare("SELECT id FROM passed_over WHERE clone_set = ? ORDER BY id").bind(1, set)
    var ids: [String] = []
    while try statement.step() { ids.append(statement.text(0)) }
    return ids
  }
}
