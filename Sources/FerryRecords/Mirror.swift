import CXXHash
import FerrySystem
import Glibc
import Haystack

/// Where records come from that are in no store of Ferry's.
public protocol RecordSource {
  /// All records, or an error: what is not there to the end is no reason to remove anything.
  func forEach(_ body: (PackedDict) throws -> Void) throws
}

/// A file of records.
public struct RecordFile: RecordSource {
  private let path: String
  private let format: RecordFormat

  /// A file. Without a format, its ending says what it is.
  public init(_ path: String, format: RecordFormat? = nil) throws {
    self.format = try format ?? RecordFormat(path: path)
    self.path = path
  }

  /// All its records.
  public func forEach(_ body: (PackedDict) throws -> Void) throws {
    try format.forEach(TextReader(path: path), body)
  }
}

/// Where records of a reading go besides the mirror, as they are read. What was given to it stands for nothing until the reading has come to its
/// good end.
public struct RecordOutlet {
  let take: (RecordStore.Row) throws -> Void
}

/// A store that is kept like a source: so every kind of source is served in one way.
public struct Mirror {
  /// The store.
  public let store: RecordStore
  /// Whether only persistent tags are kept: what lives in memory only changes all the time, and is no reason to call a record changed.
  private let isPersistent: Bool

  /// Opens the mirror at a path, or makes it. `isFiltered`: what it gets was chosen by a filter elsewhere, so tags that are not cloned have no
  /// use here.
  public init(_ path: String, project: String = "", isFiltered: Bool = false) throws {
    isPersistent = isFiltered
    store = try Files.exists(path) ? RecordStore(path: path) : RecordStore(creating: path, project: project)
  }

  /// What a reading changed.
  public struct Report: Sendable, Hashable {
    /// Records read.
    public var read = 0
    /// Of these, new or changed.
    public var changed = 0
    /// No longer there.
    public var removed = 0

    /// A report.
    public init(read: Int = 0, changed: Int = 0, removed: Int = 0) { (self.read, self.changed, self.removed) = (read, changed, removed) }
  }

  /// Makes the store what the source is, or, if that cannot be read to its end, leaves it as it was. A record without `mod` is new when its
  /// content is. `progress` gets the number of each record and its id as the source has it; `onward` is told what is read while it is.
  @discardableResult public func refresh(
    _ source: some RecordSource, onward: RecordOutlet? = nil, progress: (Int, String) -> Void = { _, _ in }
  ) throws -> Report {
    // Nobody has followed the log of a store that never had a record.
    if try store.head() == 0, try store.isEmpty { return try fill(source, onward, progress) }
    return try transaction {
      var report = Report()
      var seen: [Bool] = []
      let now = RecordStore.now()
      try source.forEach { record in
        guard let id = Self.id(record) else { throw FerryError(.peer, "the source has a record without an id") }
        let (rid, isChanged) = try take(record, id: store.absolute(id), now: now) { rid in
          if Int(rid) < seen.count, seen[Int(rid)] { throw Self.twice(id) }
        }
        if isChanged { report.changed += 1 }
        if Int(rid) >= seen.count { seen.append(contentsOf: repeatElement(false, count: Int(rid) + 1024 - seen.count)) }
        seen[Int(rid)] = true
        report.read += 1
        progress(report.read, id)
      }
      let all = try store.database.prepare("SELECT rid FROM records")
      var gone: [Int64] = []
      while try all.step() { if Int(all.int(0)) >= seen.count || !seen[Int(all.int(0))] { gone.append(all.int(0)) } }
      for rid in gone { try store.database.statement("DELETE FROM records WHERE rid = ?").bind(1, rid).run() }
      report.removed = gone.count
      return report
    }
  }

  /// The first reading: there is nothing to compare with, to look up or to log.
  private func fill(_ source: some RecordSource, _ onward: RecordOutlet?, _ progress: (Int, String) -> Void) throws -> Report {
    try transaction(looksUp: false) {
      try store.withoutAdditionTriggers {
        try store.dropIndexes(butID: false)
        let insert = try store.database.prepare("INSERT INTO records(id, mod, shape, tags) VALUES(?1, ?2, ?3, ?4)")
        let now = RecordStore.now()
        var ids: [UInt64] = []
        try source.forEach { record in
          guard let id = Self.id(record) else { throw FerryError(.peer, "the source has a record without an id") }
          let mod = Self.mod(record) ?? now
          try normal(record, mod: mod).withUnsafeBytes { tags in
            var cursor = PackedCursor(tags)
            guard let absolute = cursor.find(Self.idName)?.ref else { throw FerryError(.internal, "a record has lost its id") }
            try insert.bind(1, text: absolute).bind(2, mod).bind(3, store.shape(of: tags)).bind(4, blob: tags).run()
            ids.append(XXH3_64bits(absolute.baseAddress, absolute.count))
            try onward?.take(RecordStore.Row(rid: store.database.lastRow, id: absolute, mod: mod, tags: tags))
          }
          progress(ids.count, id)
        }
        let read = ids.count
        ids.sort()
        if zip(ids, ids.dropFirst()).contains(where: ==) {
          let twice = try store.database.prepare("SELECT id FROM records GROUP BY id HAVING count(*) > 1")
          if try twice.step() { throw Self.twice(twice.text(0)) }
        }
        return Report(read: read, changed: read)
      }
    }
  }

  private static func twice(_ id: String) -> FerryError { FerryError(.peer, "the source has two records @\(id)") }

  /// Takes in what records have become that are here already. Says whether that was all there is to it: where a record no longer matches, or
  /// where other records decide whether it does, the source has to be read again.
  public func merge(_ records: [PackedDict], filter: Filter) throws -> Bool {
    guard !records.isEmpty else { return true }
    return try transaction {
      var isAll = true
      let now = RecordStore.now()
      for record in records {
        // A row without an id stands for a record that the server does not have: a reading will tell.
        guard let id = Self.id(record) else {
          isAll = false
          continue
        }
        let absolute = store.absolute(id)
        guard try isKnown(absolute) else { continue }
        if try isSame(record, as: absolute) { continue }
        guard !filter.followsRefs, filter.matches(record) else {
          isAll = false
          continue
        }
        _ = try take(record, id: absolute, now: now)
      }
      return isAll
    }
  }

  private func transaction<Result>(looksUp: Bool = true, _ work: () throws -> Result) throws -> Result {
    do {
      return try store.database.transaction {
        if looksUp { try store.makeIndexes() }
        let result = try work()
        try store.prune()
        return result
      }
    } catch {
      store.forgetShapes()
      throw error
    }
  }

  private static func id(_ record: PackedDict) -> String? { record.withCursor { $0.find(idName)?.ref?.string } }
  private static func mod(_ record: PackedDict) -> Int64? { record.withCursor { $0.find(modName)?.nanoseconds } }
  private static let idName = Array("id".utf8)
  private static let modName = Array("mod".utf8)

  private func isKnown(_ absolute: String) throws -> Bool {
    let row = try store.database.statement("SELECT 1 FROM records WHERE id = ?").bind(1, absolute)
    defer { row.reset() }
    return try row.step()
  }

  private func isSame(_ record: PackedDict, as absolute: String) throws -> Bool {
    let row = try store.database.statement("SELECT tags FROM records WHERE id = ?").bind(1, absolute)
    defer { row.reset() }
    return try row.step() && isSame(record, Self.mod(record), row.bytes(0))
  }

  private func isSame(_ record: PackedDict, _ mod: Int64?, _ tags: UnsafeRawBufferPointer) -> Bool {
    normal(record, mod: mod).withUnsafeBytes { mod == nil ? equalButMod(tags, $0) : tags.equals($0) }
  }

  /// Puts a record there if it is not there as it is; answers its row. `found` may object to a row that is there.
  private func take(
    _ record: PackedDict, id absolute: String, now: Int64, found: (Int64) throws -> Void = { _ in }
  ) throws -> (rid: Int64, isChanged: Bool) {
    let row = try store.database.statement("SELECT rid, tags FROM records WHERE id = ?").bind(1, absolute)
    defer { row.reset() }
    let mod = Self.mod(record)
    var rid: Int64?
    if try row.step() {
      let known = row.int(0)
      try found(known)
      if isSame(record, mod, row.bytes(1)) { return (known, false) }
      rid = known
    }
    try normal(record, mod: mod ?? now).withUnsafeBytes { try store.put(id: absolute, mod: mod ?? now, tags: $0) }
    return (rid ?? store.database.lastRow, true)
  }

  /// The record as the store keeps it: with a `mod` if there is one to give, and with references that name their project.
  private func normal(_ record: PackedDict, mod: Int64?) -> [UInt8] {
    var builder = PackedBuilder()
    builder.bytes.reserveCapacity(record.bytes.count + 32)
    var isGiven = mod == nil
    record.withCursor { cursor in
      while let tag = cursor.tag() {
        if isPersistent, CloneForm.isTransient(tag.name) { continue }
        if tag.name.elementsEqual(Self.modName) { isGiven = true }
        if !isGiven, Self.modName.withUnsafeBytes({ tag.name.follows($0) }), let mod {
          isGiven = true
          builder.name(Self.modName)
          builder.dateTime(HDateTime(nanoseconds: mod))
        }
        builder.name(tag.name)
        builder.raw(tag.value.whole)
      }
    }
    if !isGiven, let mod {
      builder.name(Self.modName)
      builder.dateTime(HDateTime(nanoseconds: mod))
    }
    guard !store.project.isEmpty else { return builder.bytes }
    var absolute = PackedBuilder()
    builder.bytes.withUnsafeBytes { CloneForm.appendAbsolute($0, project: store.project, to: &absolute) }
    return absolute.bytes
  }

  private func equalButMod(_ old: UnsafeRawBufferPointer, _ new: UnsafeRawBufferPointer) -> Bool {
    var (old, new) = (PackedCursor(old), PackedCursor(new))
    while true {
      var tag = old.tag()
      if tag?.name.elementsEqual(Self.modName) == true { tag = old.tag() }
      guard let left = tag, let right = new.tag() else { return tag == nil && new.isAtEnd }
      guard left.name.equals(right.name), left.value.whole.equals(right.value.whole) else { return false }
    }
  }
}
