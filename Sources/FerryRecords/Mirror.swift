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
  /// What lives in memory only changes all the time, and is no reason to call a record changed.
  private let isPersistent: Bool

  /// Opens the mirror at a path, or makes it. `isFiltered`: what it gets was chosen by a filter elsewhere, so tags that are not cloned have no
  /// use here.
  public init(_ path: String, project: String = "", isFiltered: Bool = false) throws {
    store = try Self.kept(path) ?? Self.made(path, project)
    isPersistent = isFiltered
  }

  private var form: MirrorForm { MirrorForm(project: store.project, isPersistent: isPersistent) }

  /// The mirror that is there already. It can be read anew at any time, so nobody waits for the disk to have it: it does not outlive the system's fall.
  private static func kept(_ path: String) throws -> RecordStore? {
    guard Files.exists(path) else { return nil }
    do {
      let store = try RecordStore(path: path)
      guard try store.setting(boot) == ProcessIdentity.currentBoot else { return nil }
      try store.database.execute(hasty)
      return store
    } catch let error as FerryError where error.class == .invalid { return nil }
  }

  private static func made(_ path: String, _ project: String) throws -> RecordStore {
    for ending in ["", "-journal", "-wal", "-shm"] { unlink(path + ending) }
    let store = try RecordStore(creating: path, project: project, journal: "TRUNCATE")
    try store.database.execute(hasty)
    try store.database.transaction { try store.set(boot, ProcessIdentity.currentBoot) }
    return store
  }
  private static let hasty = "PRAGMA synchronous=OFF"
  private static let boot = "boot"

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
  /// content is. `progress` gets the number of each record, and it as the source has it; `onward` is told what is read while it is.
  @discardableResult public func refresh(
    _ source: some RecordSource, onward: RecordOutlet? = nil, progress: (Int, PackedDict) -> Void = { _, _ in }
  ) throws -> Report {
    let source = ReadAhead(source)
    // Nobody has followed the log of a store that never had a record.
    if try store.head() == 0, try store.isEmpty { return try fill(source, onward, progress) }
    return try transaction {
      var report = Report()
      var seen: [Bool] = []
      var form = form
      let now = RecordStore.now()
      try source.forEach { record in
        guard let id = Self.id(record) else { throw Self.nameless }
        let (rid, isChanged) = try take(record, id: store.absolute(id), now: now, &form) { rid in
          if Int(rid) < seen.count, seen[Int(rid)] { throw Self.twice(id) }
        }
        if isChanged { report.changed += 1 }
        if Int(rid) >= seen.count { seen.append(contentsOf: repeatElement(false, count: Int(rid) + 1024 - seen.count)) }
        seen[Int(rid)] = true
        report.read += 1
        progress(report.read, record)
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
  private func fill(_ source: some RecordSource, _ onward: RecordOutlet?, _ progress: (Int, PackedDict) -> Void) throws -> Report {
    try transaction(looksUp: false) {
      try store.withoutAdditionTriggers {
        try store.dropIndexes(butID: false)
        let insert = try store.database.prepare("INSERT INTO records(id, mod, shape, tags) VALUES(?1, ?2, ?3, ?4)")
        let now = RecordStore.now()
        var ids: [UInt64] = []
        var form = form
        try source.forEach { record in
          form.take(record, stamp: now)
          let mod = form.mod ?? now
          let shape = try store.shape(named: form.names)
          try form.tags.bytes.withUnsafeBytes { tags in
            var cursor = PackedCursor(tags)
            guard let id = cursor.find(Self.idName)?.ref else { throw Self.nameless }
            try insert.bind(1, text: id).bind(2, mod).bind(3, shape).bind(4, blob: tags).run()
            ids.append(XXH3_64bits(id.baseAddress, id.count))
            try onward?.take(RecordStore.Row(rid: store.database.lastRow, id: id, mod: mod, tags: tags))
          }
          progress(ids.count, record)
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

  private static var nameless: FerryError { FerryError(.peer, "the source has a record without an id") }
  private static func twice(_ id: String) -> FerryError { FerryError(.peer, "the source has two records @\(id)") }

  /// Takes in what records have become that are here already. Says whether that was all there is to it: where a record no longer matches, or
  /// where other records decide whether it does, the source has to be read again.
  public func merge(_ records: [PackedDict], filter: Filter) throws -> Bool {
    guard !records.isEmpty else { return true }
    return try transaction {
      var isAll = true
      var form = form
      let now = RecordStore.now()
      for record in records {
        // A row without an id stands for a record that the server does not have: a reading will tell.
        guard let id = Self.id(record) else {
          isAll = false
          continue
        }
        let absolute = store.absolute(id)
        guard try isKnown(absolute) else { continue }
        if try isSame(record, as: absolute, &form) { continue }
        guard !filter.followsRefs, filter.matches(record) else {
          isAll = false
          continue
        }
        _ = try take(record, id: absolute, now: now, &form)
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

  static func id(_ record: PackedDict) -> String? { record.withCursor { $0.find(idName)?.ref?.string } }
  private static let idName = Array("id".utf8)
  private static let modName = Array("mod".utf8)

  private func isKnown(_ absolute: String) throws -> Bool {
    let row = try store.database.statement("SELECT 1 FROM records WHERE id = ?").bind(1, absolute)
    defer { row.reset() }
    return try row.step()
  }

  private func isSame(_ record: PackedDict, as absolute: String, _ form: inout MirrorForm) throws -> Bool {
    let row = try store.database.statement("SELECT tags FROM records WHERE id = ?").bind(1, absolute)
    defer { row.reset() }
    return try row.step() && isSame(record, row.bytes(0), &form)
  }

  /// Without a `mod` of its own it is the same if all else is.
  private func isSame(_ record: PackedDict, _ tags: UnsafeRawBufferPointer, _ form: inout MirrorForm) -> Bool {
    form.take(record, stamp: nil)
    return form.tags.bytes.withUnsafeBytes { form.mod == nil ? equalButMod(tags, $0) : tags.equals($0) }
  }

  /// Puts a record there if it is not there as it is; answers its row. `found` may object to a row that is there.
  private func take(
    _ record: PackedDict, id absolute: String, now: Int64, _ form: inout MirrorForm, found: (Int64) throws -> Void = { _ in }
  ) throws -> (rid: Int64, isChanged: Bool) {
    let row = try store.database.statement("SELECT rid, tags FROM records WHERE id = ?").bind(1, absolute)
    defer { row.reset() }
    var rid: Int64?
    if try row.step() {
      let known = row.int(0)
      try found(known)
      if isSame(record, row.bytes(1), &form) { return (known, false) }
      rid = known
    }
    form.take(record, stamp: now)
    try form.tags.bytes.withUnsafeBytes { try store.put(id: absolute, mod: form.mod ?? now, tags: $0) }
    return (rid ?? store.database.lastRow, true)
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
