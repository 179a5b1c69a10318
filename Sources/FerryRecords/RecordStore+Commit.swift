import FerrySystem
import Haystack

extension RecordStore {
  /// One edit of a record.
  public enum Edit: Sendable {
    /// A new record. Without an `id` it gets one.
    case add(HDict)
    /// Tags that change; `remove` takes one away. With `mod`, the record must be as it was then.
    case update(id: String, HDict, mod: HDateTime? = nil)
    /// A record to put there as it is, with its own `mod` if it has one: for what comes from elsewhere.
    case put(PackedDict)
    /// A record to remove.
    case remove(id: String)
  }

  /// Edits, all or none, and each edited record gets a new `mod`. Clones are refused while cloning is on. Answers the records' ids.
  @discardableResult public func commit(_ edits: [Edit]) throws -> [String] {
    do {
      return try database.transaction {
        let ids = try edits.map(apply)
        try prune()
        return ids
      }
    } catch {
      forgetShapes()
      throw error
    }
  }

  private func apply(_ edit: Edit) throws -> String {
    switch edit {
    case .add(var record):
      let id = absolute(record.id?.id ?? "\(String(Self.now(), radix: 16))-\(UInt32.random(in: 0...UInt32.max))")
      guard try read(id) == nil else { throw FerryError(.conflict, "\(path): there is a record @\(id) already") }
      record["id"] = .ref(HRef(id))
      try write(record, id: id)
      return id
    case .update(let id, let changes, let mod):
      let id = absolute(id)
      guard let old = try read(id)?.tree else { throw FerryError(.notFound, "\(path): there is no record @\(id)") }
      if let mod, case .dateTime(let current)? = old["mod"], current.nanoseconds != mod.nanoseconds {
        throw FerryError(.conflict, "\(path): @\(id) was changed by somebody else", hint: "read it again, then change it")
      }
      var record = old
      for (name, value) in changes.tags where name != "id" && name != "mod" {
        if case .remove = value { record[name] = nil } else { record[name] = value }
      }
      try write(record, id: id)
      return id
    case .put(let packed):
      var record = packed.tree
      guard let id = (record.id?.id).map(absolute) else { throw FerryError(.invalid, "a record has no id") }
      guard record["clone"] == nil else {
        // What another project cloned is here a record as any other would be, and must not look like a clone of ours.
        for name in ["clone", "cloneSetRef", "cloneMod"] { record[name] = nil }
        try write(record, id: id)
        return id
      }
      if case .dateTime(let mod)? = record["mod"] {
        try packed.bytes.withUnsafeBytes { try put(id: id, mod: mod.nanoseconds, tags: $0) }
      } else {
        try write(record, id: id)
      }
      return id
    case .remove(let id):
      let id = absolute(id)
      try database.statement("DELETE FROM records WHERE id = ?").bind(1, id).run()
      guard database.changes > 0 else { throw FerryError(.notFound, "\(path): there is no record @\(id)") }
      return id
    }
  }

  private func write(_ record: HDict, id: String) throws {
    var record = record
    let mod = Self.now()
    record["mod"] = .dateTime(HDateTime(nanoseconds: mod))
    try PackedDict(record).bytes.withUnsafeBytes { try put(id: id, mod: mod, tags: $0) }
  }

  /// References without a project mean this one, and are kept with its name: one record has one id.
  func put(id: String, mod: Int64, tags: UnsafeRawBufferPointer) throws {
    guard !project.isEmpty else { return try putAbsolute(id: id, mod: mod, tags: tags) }
    var builder = PackedBuilder()
    CloneForm.appendAbsolute(tags, project: project, to: &builder)
    try builder.bytes.withUnsafeBytes { try putAbsolute(id: id, mod: mod, tags: $0) }
  }

  private func putAbsolute(id: String, mod: Int64, tags: UnsafeRawBufferPointer) throws {
    let shape = try shape(of: tags)
    try database.statement(
      """
      INSERT INTO records(id, mod, shape, tags) VALUES(?1, ?2, ?3, ?4)
      ON CONFLICT(id) DO UPDATE SET mod = ?2, shape = ?3, tags = ?4
      """
    ).bind(1, id).bind(2, mod).bind(3, shape).bind(4, blob: tags).run()
  }

  /// An id of this project.
  func absolute(_ id: String) -> String {
    if project.isEmpty || CloneForm.isAbsolute(id) { return id }
    return "p:\(project):r:\(id)"
  }

  /// The log need not be longer than what a client may have missed in a while: one that missed more is compared with.
  func prune(keeping kept: Int64 = 500_000) throws {
    let head = try head()
    guard head % 1024 == 0 || head > kept * 2 else { return }
    try database.statement("DELETE FROM changes WHERE seq <= ?").bind(1, head - kept).run()
  }

  /// The number of the last change.
  func head() throws -> Int64 {
    let statement = try database.statement("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")
    defer { statement.reset() }
    return try statement.step() ? statement.int(0) : 0
  }

  /// Whether the log has all since a number.
  func logReaches(_ seq: Int64) throws -> Bool {
    if try head() == seq { return true }
    let statement = try database.statement("SELECT min(seq) FROM changes")
    defer { statement.reset() }
    return try statement.step() && !statement.isNull(0) && statement.int(0) <= seq + 1 && head() >= seq
  }
}
