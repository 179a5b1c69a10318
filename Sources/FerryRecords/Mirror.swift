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

/// A store that is kept like a source: so every kind of source is served in one way.
public struct Mirror {
  /// The store.
  public let store: RecordStore

  /// Opens the mirror at a path, or makes it.
  public init(_ path: String, project: String = "") throws {
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
  /// content is.
  @discardableResult public func refresh(_ source: some RecordSource, progress: (Int) -> Void = { _ in }) throws -> Report {
    var report = Report()
    do {
      try store.database.transaction {
        var seen: [Bool] = []
        let find = try store.database.prepare("SELECT rid, tags FROM records WHERE id = ?")
        let now = RecordStore.now()
        try source.forEach { record in
          guard let id = record.withCursor({ $0.find(Self.idName)?.ref?.string }) else {
            throw FerryError(.peer, "the source has a record without an id")
          }
          let absolute = store.absolute(id)
          find.reset()
          find.bind(1, absolute)
          let isThere = try find.step()
          let mod = record.withCursor { $0.find(Self.modName)?.nanoseconds }
          var isSame = false
          if isThere {
            isSame = normal(record, mod: mod).withUnsafeBytes { new in
              mod == nil ? equalButMod(find.bytes(1), new) : find.bytes(1).equals(new)
            }
          }
          var rid = isThere ? find.int(0) : 0
          if rid != 0, Int(rid) < seen.count, seen[Int(rid)] { throw FerryError(.peer, "the source has two records @\(id)") }
          if !isSame {
            try normal(record, mod: mod ?? now).withUnsafeBytes { try store.put(id: absolute, mod: mod ?? now, tags: $0) }
            if rid == 0 { rid = store.database.lastRow }
            report.changed += 1
          }
          if Int(rid) >= seen.count { seen.append(contentsOf: repeatElement(false, count: Int(rid) + 1024 - seen.count)) }
          seen[Int(rid)] = true
          report.read += 1
          progress(report.read)
        }
        let all = try store.database.prepare("SELECT rid FROM records")
        var gone: [Int64] = []
        while try all.step() { if Int(all.int(0)) >= seen.count || !seen[Int(all.int(0))] { gone.append(all.int(0)) } }
        for rid in gone { try store.database.statement("DELETE FROM records WHERE rid = ?").bind(1, rid).run() }
        report.removed = gone.count
        try store.prune()
      }
    } catch {
      store.forgetShapes()
      throw error
    }
    return report
  }
  private static let idName = Array("id".utf8)
  private static let modName = Array("mod".utf8)

  /// The record as the store keeps it: with a `mod`, if there is one to give, and with references that name their project.
  private func normal(_ record: PackedDict, mod: Int64?) -> [UInt8] {
    var builder = PackedBuilder()
    var isGiven = mod == nil
    record.withCursor { cursor in
      while let tag = cursor.tag() {
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
