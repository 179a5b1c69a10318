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

/// What a client asks for.
struct HistoryQuestion: Codable {
  /// The point's relative id.
  var id: String
  /// The first moment, that one included; nil for all.
  var from: Int64?
  /// The zone that the client's point is in.
  var zone: String
}

enum HistoryState: UInt8 { case items, end, failure }

extension CloneServer {
  func history(_ message: CloneMessage, _ connection: CloneConnection) throws {
    let question = try message.json(HistoryQuestion.self)
    do {
      let id = CloneForm.isAbsolute(question.id) ? question.id : store.absolute(question.id)
      guard let point = try store.read(id)?.tree else { throw FerryError(.notFound, "the server has no point @\(id)") }
      let zone = if case .string(let zone)? = point["tz"] { zone } else { "" }
      guard zone == question.zone else {
        throw FerryError(.conflict, "the server's point is in the time zone '\(zone)', the clone in '\(question.zone)'")
      }
      var writer = MessageWriter(bytes: [HistoryState.items.rawValue])
      func flush() throws {
        try connection.send(.history, writer.bytes)
        writer.bytes.removeLast(writer.bytes.count - 1)
      }
      try store.forEachHistory(id, from: question.from ?? .min) { item in
        writer.fixed(item.nanoseconds)
        Packed(item.value).bytes.withUnsafeBytes { writer.block($0) }
        if writer.bytes.count > 1 << 18 { try flush() }
        return true
      }
      if writer.bytes.count > 1 { try flush() }
      try connection.send(.history, [HistoryState.end.rawValue])
    } catch let error as FerryError where error.class != .peer && error.class != .cancelled {
      try connection.send(.history, [HistoryState.failure.rawValue] + Array(error.message.utf8))
    }
  }
}

/// How history came.
public struct HistoryReport: Sendable, Hashable {
  /// Items written.
  public var items: Int64 = 0
  /// Points that were asked for.
  public var points = 0
  /// What failed, by point.
  public var failures: [String: String] = [:]
  /// Nothing came yet.
  public init() {}
}

extension CloneClient {
  /// Fetches the history of the set's points from where it ends here. One that fails does not keep the others.
  func syncHistory(_ connection: CloneConnection) throws -> HistoryReport {
    var report = HistoryReport()
    var points: [(id: String, zone: String)] = []
    try store.rows(try Filter("his and point"), where: "clone_set IS NOT NULL") { row in
      let point = PackedDict(bytes: Array(row.tags)).tree
      guard case .ref(let owner)? = point["cloneSetRef"], owner.id == id else { return true }
      let zone = if case .string(let zone)? = point["tz"] { zone } else { "" }
      points.append((row.id.string, zone))
      return true
    }
    let relativizer = Relativizer(projects: [store.project])
    for point in points {
      report.points += 1
      let end = try store.historyEnd(point.id)
      try connection.send(.wantHistory, json: HistoryQuestion(id: relativizer.relative(point.id), from: end, zone: point.zone))
      try receive(point.id, connection, &report)
    }
    return report
  }

  private func receive(_ id: String, _ connection: CloneConnection, _ report: inout HistoryReport) throws {
    while true {
      let payload = try connection.receive(.history).payload
      switch payload.first.flatMap(HistoryState.init) {
      case .items:
        try store.database.transaction {
          let rid = try store.rid(id)
          try payload.withUnsafeBytes {
            var reader = MessageReader(UnsafeRawBufferPointer(rebasing: $0[1...]))
            while !reader.isAtEnd {
              let moment = try reader.fixed(Int64.self)
              let value = Array(try reader.block())
              guard Packed(bytes: value).isSound else { throw CloneConnection.nonsense }
              // The first item is the one that we have: the question includes its moment, so that a value that was mended is mended here.
              try store.put(rid, moment, value)
              report.items += 1
            }
          }
        }
      case .end: return
      case .failure:
        report.failures[id] = String(decoding: payload.dropFirst(), as: UTF8.self)
        return
      case nil: throw CloneConnection.nonsense
      }
    }
  }
}
