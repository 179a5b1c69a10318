import FerrySystem
import Haystack

/// How history came.
public struct HistoryReport: Sendable, Hashable, Encodable {
  /// Items written.
  public var items: Int64 = 0
  /// Points that were asked for.
  public var points = 0
  /// What failed, by point.
  public var failures: [String: String] = [:]
  /// Nothing came yet.
  public init() {}
}

extension RecordStore {
  /// Fetches the history of clones that are points: of a span, or from where each one's ends here. The first moment is asked for again, and an
  /// item at a moment that has one takes its place, so what was mended there is mended here. One point that fails does not keep the others.
  public func syncHistory(
    _ filter: Filter? = nil, set: String? = nil, span: HistorySpan? = nil, from source: some HistorySource,
    progress: (HistoryReport) -> Void = { _ in }
  ) throws -> HistoryReport {
    var report = HistoryReport()
    var points: [(id: String, zone: String)] = []
    let wanted = try Filter("point and his\(filter.map { " and (\($0.text))" } ?? "")")
    try rows(wanted, where: "clone_set IS NOT NULL\(set == nil ? "" : " AND clone_set = \(Self.quoted(set ?? ""))")") { row in
      points.append((row.id.string, PackedDict(bytes: Array(row.tags)).tree.zone))
      return true
    }
    let relativizer = Relativizer(projects: [project])
    let now = Self.now()
    for point in points {
      report.points += 1
      do {
        var (start, end): (Int64?, Int64?) = (try historyEnd(point.id), nil)
        if let span { (start, end) = try span.moments(in: point.zone, now: now) }
        try fetch(point.id, relativizer.relative(point.id), zone: point.zone, from: start, until: end, source, &report)
      } catch let failure as HistoryFailure { report.failures[point.id] = failure.reason }
      progress(report)
    }
    return report
  }

  private func fetch(
    _ id: String, _ relative: String, zone: String, from start: Int64?, until end: Int64?, _ source: some HistorySource,
    _ report: inout HistoryReport
  ) throws {
    var batch: [HistoryItem] = []
    func flush() throws {
      guard !batch.isEmpty else { return }
      try writeHistory(id, batch)
      report.items += Int64(batch.count)
      batch.removeAll(keepingCapacity: true)
    }
    try source.items(of: relative, zone: zone, from: start, until: end) { item in
      batch.append(item)
      if batch.count == 10_000 { try flush() }
    }
    try flush()
  }

  private static func quoted(_ text: String) -> String {
    "'\(text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''"))'"
  }
}

/// What a client asks for.
struct HistoryQuestion: Codable {
  /// The point's relative id.
  var id: String
  /// The first moment, that one included; nil for all.
  var from: Int64?
  /// The moment behind the last; nil for all.
  var until: Int64?
  /// The zone that the client's point is in.
  var zone: String
}

enum HistoryState: UInt8 { case items, end, failure }

/// The history that the other end of a channel has.
struct ChannelHistory: HistorySource {
  let connection: CloneConnection

  func items(of id: String, zone: String, from start: Int64?, until end: Int64?, _ body: (HistoryItem) throws -> Void) throws {
    try connection.send(.wantHistory, json: HistoryQuestion(id: id, from: start, until: end, zone: zone))
    while true {
      let payload = try connection.receive(.history).payload
      switch payload.first.flatMap(HistoryState.init) {
      case .items:
        try payload.withUnsafeBytes {
          var reader = MessageReader(UnsafeRawBufferPointer(rebasing: $0[1...]))
          while !reader.isAtEnd {
            let moment = try reader.fixed(Int64.self)
            let packed = Packed(bytes: Array(try reader.block()))
            guard packed.isSound, let value = packed.tree else { throw CloneConnection.nonsense }
            try body(HistoryItem(nanoseconds: moment, value: value))
          }
        }
      case .end: return
      case .failure: throw HistoryFailure(String(decoding: payload.dropFirst(), as: UTF8.self))
      case nil: throw CloneConnection.nonsense
      }
    }
  }
}

extension CloneServer {
  func history(_ message: CloneMessage, _ connection: CloneConnection) throws {
    let question = try message.json(HistoryQuestion.self)
    do {
      var writer = MessageWriter(bytes: [HistoryState.items.rawValue])
      func flush() throws {
        guard writer.bytes.count > 1 else { return }
        try connection.send(.history, writer.bytes)
        writer.bytes.removeLast(writer.bytes.count - 1)
      }
      try histories.items(of: question.id, zone: question.zone, from: question.from, until: question.until) { item in
        writer.fixed(item.nanoseconds)
        Packed(item.value).bytes.withUnsafeBytes { writer.block($0) }
        if writer.bytes.count > 1 << 18 { try flush() }
      }
      try flush()
      try connection.send(.history, [HistoryState.end.rawValue])
    } catch let failure as HistoryFailure {
      try connection.send(.history, [HistoryState.failure.rawValue] + Array(failure.reason.utf8))
    }
  }
}
