import FerrySystem
import Haystack

extension RecordStore {
  /// A row where it lies; for the time of the call that it is given to.
  struct Row {
    var rid: Int64
    var id: UnsafeRawBufferPointer
    var mod: Int64
    var tags: UnsafeRawBufferPointer
  }

  /// The record with an id, or nil.
  public func read(_ id: String) throws -> PackedDict? {
    let statement = try database.statement("SELECT tags FROM records WHERE id = ?").bind(1, absolute(id))
    defer { statement.reset() }
    return try statement.step() ? PackedDict(bytes: Array(statement.bytes(0))) : nil
  }

  /// All records that match, in the order in which they came, or by id. `body` answers whether to go on.
  public func forEach(_ filter: Filter? = nil, byID: Bool = false, _ body: (PackedDict) throws -> Bool) throws {
    try rows(filter, where: "TRUE", byID: byID) { try body(PackedDict(bytes: Array($0.tags))) }
  }

  /// Whether it has no record.
  var isEmpty: Bool {
    get throws {
      let statement = try database.statement("SELECT 1 FROM records LIMIT 1")
      defer { statement.reset() }
      return try !statement.step()
    }
  }

  /// Whether it has never had more than some thousand records.
  var isNearlyEmpty: Bool {
    get throws {
      let statement = try database.statement("SELECT max(rid) FROM records")
      defer { statement.reset() }
      return try !statement.step() || statement.int(0) < 4096
    }
  }

  /// How many records match.
  public func count(_ filter: Filter? = nil) throws -> Int {
    var count = 0
    try rows(filter, where: "TRUE") { _ in
      count += 1
      return true
    }
    return count
  }

  /// Rows that match, from the narrowest index that the filter allows.
  func rows(_ filter: Filter?, where condition: String, byID: Bool = false, finder: StoreFinder? = nil, _ body: (Row) throws -> Bool) throws
  {
    let finder = finder ?? StoreFinder(self)
    let filter = filter.map(own)
    var terms = [condition]
    if let filter {
      if filter.onlyID != nil {
        terms.append("id = ?")
      } else if let shapes = try shapes(for: filter) {
        terms.append("shape IN (\(shapes))")
      }
    }
    // Without an order an index would be walked in its own, and the table with it, back and forth.
    let order = byID ? "id" : "rid"
    let statement = try database.prepare(
      "SELECT rid, id, mod, tags FROM records WHERE \(terms.joined(separator: " AND ")) ORDER BY \(order)")
    if let id = filter?.onlyID { statement.bind(1, id) }
    while try statement.step() {
      let row = Row(rid: statement.int(0), id: statement.bytes(1), mod: statement.int(2), tags: statement.bytes(3))
      if let filter, !filter.matches(row.tags, finder: finder) { continue }
      if try !body(row) { break }
    }
    try finder.throwIfFailed()
  }

  /// The filter with references to this project's records as they are kept.
  func own(_ filter: Filter) -> Filter { project.isEmpty ? filter : filter.mappingRefs(absolute) }

  /// The shapes that a matching record can have, as SQL; nil if that is most of them.
  private func shapes(for filter: Filter) throws -> String? {
    let required = filter.requiredTags.map(Set.init)
    guard !required.isEmpty else { return nil }
    var fitting: [String] = []
    var all = 0
    let statement = try database.prepare("SELECT shape, tags FROM shapes")
    while try statement.step() {
      all += 1
      let names = Set(statement.text(1).split(separator: " ").map(String.init))
      if required.allSatisfy({ !$0.isDisjoint(with: names) }) { fitting.append(String(statement.int(0))) }
    }
    return fitting.count > 1000 || fitting.count == all ? nil : fitting.joined(separator: ",")
  }

  /// How a filter is answered: `EXPLAIN QUERY PLAN`, for tests and the curious.
  public func plan(_ filter: Filter) throws -> String {
    if filter.onlyID != nil { return "id" }
    return try shapes(for: filter) == nil ? "all" : "shapes"
  }
}

/// Finds the records that paths lead to. Those that many records lead to, as sites, are kept at hand.
final class StoreFinder: RecordFinder {
  private let store: RecordStore
  private var known: [String: [UInt8]?] = [:]
  private var failure: (any Error)?
  /// Told of each id that was asked for.
  var onFind: ((String) -> Void)?

  init(_ store: RecordStore) { self.store = store }

  func find(_ id: UnsafeRawBufferPointer, _ found: (UnsafeRawBufferPointer) -> Bool) -> Bool {
    let id = id.string
    onFind?(id)
    let record: [UInt8]?
    if let kept = known[id] {
      record = kept
    } else {
      do { record = try store.read(id)?.bytes } catch {
        failure = failure ?? error
        record = nil
      }
      if known.count > 4096 { known.removeAll(keepingCapacity: true) }
      known[id] = .some(record)
    }
    return record?.withUnsafeBytes(found) ?? false
  }

  func forget() { known.removeAll(keepingCapacity: true) }

  /// A filter cannot throw: what went wrong while it looked for records is thrown here.
  func throwIfFailed() throws {
    if let failure {
      self.failure = nil
      throw failure
    }
  }
}
