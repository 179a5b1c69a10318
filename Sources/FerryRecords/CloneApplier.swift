import FerrySystem
import Haystack

/// Makes the clones of one set what the server says.
final class CloneApplier {
  let store: RecordStore
  private(set) var state: CloneState
  private let maker: CloneMaker
  private let relativizer: Relativizer
  private let hasher = RecordHasher()
  private var absolute: [UInt8] = []
  private let insert: Statement
  private(set) var applied: Int64 = 0
  private(set) var removed: Int64 = 0

  init(_ store: RecordStore, state: CloneState) throws {
    self.store = store
    self.state = state
    maker = CloneMaker(project: store.project, cloneSet: state.id)
    relativizer = Relativizer(projects: [store.project])
    insert = try store.database.prepare(
      "INSERT INTO records(id, mod, shape, clone_set, clone_mod, tags) VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(id) DO NOTHING")
    insert.bind(4, state.id)
  }

  func note(_ change: (inout CloneState) -> Void) throws {
    change(&state)
    try store.database.transaction { try store.save(state) }
  }

  /// The id that a relative one has here.
  private func withAbsolute<Result>(_ id: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    if maker.prefix.isEmpty || CloneForm.isAbsolute(id) { return try body(id) }
    absolute.removeAll(keepingCapacity: true)
    absolute.append(contentsOf: maker.prefix)
    absolute.append(contentsOf: id)
    return try absolute.withUnsafeBytes(body)
  }

  // MARK: What there is

  /// Makes the digest anew where clones were changed behind our back, and lets those that were passed over come whose place is free now.
  func prepare() throws {
    if state.isStale {
      var digest = SetDigest()
      try forEachHash { hash, _ in digest.add(hash) }
      try note {
        $0.digest = digest
        $0.isStale = false
        $0.cursor = CloneCursor()
      }
    }
    var free: [(id: String, mod: Int64)] = []
    let over = try store.database.prepare("SELECT id, mod FROM passed_over WHERE clone_set = ?").bind(1, state.id)
    while try over.step() {
      let id = over.text(0)
      if try isFree(id) { free.append((id, over.int(1))) }
    }
    guard !free.isEmpty else { return }
    try store.database.transaction {
      for (id, mod) in free {
        try forgetPassedOver(id)
        state.digest.remove(Array(id.utf8).withUnsafeBytes { hasher.hash($0, mod: mod) })
      }
      state.cursor = CloneCursor()
      try store.save(state)
    }
  }

  private func isFree(_ id: String) throws -> Bool {
    try Array(id.utf8).withUnsafeBytes { id in
      try withAbsolute(id) {
        let row = try store.database.statement("SELECT clone_set FROM records WHERE id = ?").bind(1, text: $0)
        defer { row.reset() }
        return try !row.step() || (!row.isNull(0) && row.text(0) == state.id)
      }
    }
  }

  /// Each clone's hash and row; of what was passed over, the row is nil.
  func forEachHash(_ body: (RecordHash, _ rid: Int64?) throws -> Void) throws {
    let rows = try store.database.prepare("SELECT id, clone_mod, rid FROM records WHERE clone_set = ?").bind(1, state.id)
    while try rows.step() { try body(hasher.hash(relativizer.relative(rows.bytes(0)), mod: rows.int(1)), rows.int(2)) }
    let over = try store.database.prepare("SELECT id, mod FROM passed_over WHERE clone_set = ?").bind(1, state.id)
    while try over.step() { try body(hasher.hash(over.bytes(0), mod: over.int(1)), nil) }
  }

  func keys() throws -> [UInt64] {
    var keys: [UInt64] = []
    keys.reserveCapacity(Int(state.digest.count))
    try forEachHash { hash, _ in keys.append(hash.key) }
    return keys
  }

  // MARK: What changes

  /// One message of records.
  func apply(records payload: [UInt8], now: Int64) throws {
    var clone = PackedBuilder()
    var names: [UInt8] = []
    try payload.withUnsafeBytes {
      var reader = MessageReader($0)
      while !reader.isAtEnd {
        let id = try reader.block()
        let mod = try reader.fixed(Int64.self)
        let tags = try reader.block()
        var cursor = PackedCursor(tags)
        guard HRef.isID(id), PackedDict.isSound(tags), let own = cursor.find(Self.idName)?.ref, own.equals(id) else {
          throw FerryError(.peer, "the server sent a record that is malformed")
        }
        clone.clear()
        names.removeAll(keepingCapacity: true)
        maker.append(tags, mod: mod, now: now, to: &clone, &names)
        let shape = try store.shape(named: names)
        try clone.bytes.withUnsafeBytes { try put(id, mod: mod, now: now, shape: shape, tags: $0) }
      }
    }
  }
  private static let idName = Array("id".utf8)

  private func put(_ id: UnsafeRawBufferPointer, mod: Int64, now: Int64, shape: Int64, tags: UnsafeRawBufferPointer) throws {
    try withAbsolute(id) { absolute in
      store.database.lastRow = 0
      // The set was bound once for all.
      try insert.bind(1, text: absolute).bind(2, now).bind(3, shape).bind(5, mod).bind(6, blob: tags).run()
      let hash = hasher.hash(id, mod: mod)
      guard store.database.lastRow != 0 else {
        return try replace(id, absolute, mod: mod, now: now, shape: shape, tags: tags, hash)
      }
      state.digest.add(hash)
      applied += 1
    }
  }

  private func replace(
    _ id: UnsafeRawBufferPointer, _ absolute: UnsafeRawBufferPointer, mod: Int64, now: Int64, shape: Int64, tags: UnsafeRawBufferPointer,
    _ hash: RecordHash
  ) throws {
    let row = try store.database.statement("SELECT rid, clone_set, clone_mod FROM records WHERE id = ?").bind(1, text: absolute)
    guard try row.step() else { throw FerryError(.internal, "a record was refused for no reason") }
    let (rid, owner, old) = (row.int(0), row.isNull(1) ? nil : row.text(1), row.int(2))
    row.reset()
    guard owner == state.id else { return try passOver(id, mod: mod, hash) }
    try store.database.statement("UPDATE records SET mod = ?, shape = ?, clone_mod = ?, tags = ? WHERE rid = ?")
      .bind(1, now).bind(2, shape).bind(3, mod).bind(4, blob: tags).bind(5, rid).run()
    state.digest.remove(hasher.hash(id, mod: old))
    state.digest.add(hash)
    applied += 1
  }

  /// Somebody else has the id here: theirs it stays. The digest counts it as seen, so that it is not sent again and again.
  private func passOver(_ id: UnsafeRawBufferPointer, mod: Int64, _ hash: RecordHash) throws {
    try takeBackPassedOver(id)
    try store.database.statement("INSERT INTO passed_over VALUES(?, ?, ?)").bind(1, state.id).bind(2, text: id).bind(3, mod).run()
    state.digest.add(hash)
  }

  private func forgetPassedOver(_ id: String) throws {
    try store.database.statement("DELETE FROM passed_over WHERE clone_set = ? AND id = ?").bind(1, state.id).bind(2, id).run()
  }

  private func takeBackPassedOver(_ id: UnsafeRawBufferPointer) throws {
    let known = try store.database.statement("SELECT mod FROM passed_over WHERE clone_set = ? AND id = ?").bind(1, state.id).bind(
      2, text: id)
    guard try known.step() else { return }
    let mod = known.int(0)
    known.reset()
    state.digest.remove(hasher.hash(id, mod: mod))
    try store.database.statement("DELETE FROM passed_over WHERE clone_set = ? AND id = ?").bind(1, state.id).bind(2, text: id).run()
  }

  /// One message of ids to remove. Those that this set has not are none of its business.
  func doom(ids payload: [UInt8]) throws {
    try payload.withUnsafeBytes {
      var reader = MessageReader($0)
      while !reader.isAtEnd {
        let id = try reader.block()
        if let key = try key(id) { doomed.append((id.string, key)) }
      }
    }
  }

  /// One message of keys that only the client has.
  func doom(keys payload: [UInt8]) throws {
    var keys: Set<UInt64> = []
    try payload.withUnsafeBytes {
      var reader = MessageReader($0)
      while !reader.isAtEnd { keys.insert(try reader.fixed(UInt64.self)) }
    }
    for sql in ["SELECT id, clone_mod FROM records WHERE clone_set = ?", "SELECT id, mod FROM passed_over WHERE clone_set = ?"] {
      let rows = try store.database.prepare(sql).bind(1, state.id)
      while try rows.step() {
        let id = relativizer.relative(rows.bytes(0))
        let key = hasher.hash(id, mod: rows.int(1)).key
        if keys.contains(key) { doomed.append((id.string, key)) }
      }
    }
  }

  /// What is to go, as it was when that was said: what comes anew in between stays, and so does its history.
  private var doomed: [(id: String, key: UInt64)] = []

  /// What of it is still as it was.
  func stillDoomed() throws -> [String] {
    defer { doomed.removeAll() }
    return try doomed.filter { id, key in try Array(id.utf8).withUnsafeBytes { try self.key($0) } == key }.map(\.id)
  }

  func remove(_ ids: [String]) throws { for id in ids { try Array(id.utf8).withUnsafeBytes { try remove($0) } } }

  private func key(_ id: UnsafeRawBufferPointer) throws -> UInt64? {
    let clone: UInt64? = try withAbsolute(id) { absolute in
      let row = try store.database.statement("SELECT clone_mod FROM records WHERE id = ? AND clone_set = ?")
        .bind(1, text: absolute).bind(2, state.id)
      defer { row.reset() }
      return try row.step() ? hasher.hash(id, mod: row.int(0)).key : nil
    }
    if let clone { return clone }
    let over = try store.database.statement("SELECT mod FROM passed_over WHERE clone_set = ? AND id = ?").bind(1, state.id).bind(
      2, text: id)
    defer { over.reset() }
    return try over.step() ? hasher.hash(id, mod: over.int(0)).key : nil
  }

  private func remove(_ id: UnsafeRawBufferPointer) throws {
    try takeBackPassedOver(id)
    try withAbsolute(id) { absolute in
      let row = try store.database.statement("SELECT rid, clone_mod FROM records WHERE id = ? AND clone_set = ?")
        .bind(1, text: absolute).bind(2, state.id)
      guard try row.step() else { return }
      let (rid, mod) = (row.int(0), row.int(1))
      row.reset()
      try store.database.statement("DELETE FROM records WHERE rid = ?").bind(1, rid).run()
      state.digest.remove(hasher.hash(id, mod: mod))
      removed += 1
    }
  }
}
