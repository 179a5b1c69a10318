import FerrySystem
import Haystack

/// A value at a moment.
public struct HistoryItem: Sendable, Hashable {
  /// Nanoseconds since 1970.
  public var nanoseconds: Int64
  /// The value.
  public var value: HValue

  /// An item.
  public init(nanoseconds: Int64, value: HValue) { (self.nanoseconds, self.value) = (nanoseconds, value) }
}

/// History of points. Clones may have one of their own: it is no part of the record.
extension RecordStore {
  func rid(_ id: String) throws -> Int64 {
    let row = try database.statement("SELECT rid FROM records WHERE id = ?").bind(1, id)
    defer { row.reset() }
    guard try row.step() else { throw FerryError(.notFound, "\(path): there is no record @\(id)") }
    return row.int(0)
  }

  /// Writes items; one at a moment that has one takes its place.
  public func writeHistory(_ id: String, _ items: [HistoryItem]) throws {
    try database.transaction {
      let rid = try rid(id)
      for item in items { try put(rid, item.nanoseconds, Packed(item.value).bytes) }
    }
  }

  func put(_ rid: Int64, _ nanoseconds: Int64, _ value: [UInt8]) throws {
    try value.withUnsafeBytes {
      try database.statement("INSERT OR REPLACE INTO history VALUES(?, ?, ?)").bind(1, rid).bind(2, nanoseconds).bind(3, blob: $0).run()
    }
  }

  /// Items from a moment on, that one included; `body` answers whether to go on.
  public func forEachHistory(_ id: String, from start: Int64 = .min, _ body: (HistoryItem) throws -> Bool) throws {
    let rows = try database.prepare("SELECT ts, value FROM history WHERE rid = ? AND ts >= ? ORDER BY ts").bind(1, try rid(id)).bind(
      2, start)
    while try rows.step() {
      guard let value = Packed(bytes: Array(rows.bytes(1))).tree else {
        throw FerryError(.invalid, "\(path): a value in the history of @\(id) is damaged")
      }
      if try !body(HistoryItem(nanoseconds: rows.int(0), value: value)) { break }
    }
  }

  /// When the last item is, or nil.
  public func historyEnd(_ id: String) throws -> Int64? {
    let row = try database.statement("SELECT max(ts) FROM history WHERE rid = ?").bind(1, try rid(id))
    defer { row.reset() }
    return try row.step() && !row.isNull(0) ? row.int(0) : nil
  }
}
