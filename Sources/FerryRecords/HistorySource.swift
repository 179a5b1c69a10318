import FerrySystem
import Haystack

/// Where the history of points comes from.
public protocol HistorySource {
  /// Items of a point from a moment on, that one included, up to another, that one excluded; nil: all there is. `id` is relative, and `zone` the
  /// one that the clone is in. What concerns this point alone is thrown as a `HistoryFailure`; any other error ends it for all.
  func items(
    of id: String, zone: String, from start: Int64?, until end: Int64?, _ body: (HistoryItem) throws -> Void) throws
}

/// Why one point's history does not come.
public struct HistoryFailure: Error, Sendable {
  /// For people.
  public let reason: String

  /// A reason.
  public init(_ reason: String) { self.reason = reason }

  /// A value only has a meaning at the moment that its zone gives it.
  static func ofZones(_ theirs: String, _ ours: String) -> HistoryFailure {
    HistoryFailure("the server's point is in the time zone '\(theirs)', the clone in '\(ours)'")
  }
}

extension RecordStore: HistorySource {
  /// The history of this project's own points.
  public func items(
    of id: String, zone: String, from start: Int64?, until end: Int64?, _ body: (HistoryItem) throws -> Void
  ) throws {
    let id = absolute(id)
    guard let point = try read(id)?.tree else { throw HistoryFailure("the server has no point @\(id)") }
    guard point.zone == zone else { throw HistoryFailure.ofZones(point.zone, zone) }
    try forEachHistory(id, from: start ?? .min) { item in
      if let end, item.nanoseconds >= end { return false }
      try body(item)
      return true
    }
  }
}

extension HaystackClient: HistorySource {
  /// The history of a point over HTTP. Servers agree on ranges of whole days and on little else, so days are asked for, and a day more at either
  /// end: whose days they are, the point's or the server's, differs too.
  public func items(
    of id: String, zone: String, from start: Int64?, until end: Int64?, _ body: (HistoryItem) throws -> Void
  ) throws {
    do {
      let (id, point) = try self.point(id)
      guard point.zone == zone else { throw HistoryFailure.ofZones(point.zone, zone) }
      func day(_ moment: Int64, _ shift: Int) -> String {
        let days = Int(moment.quotientAndRemainder(dividingBy: 86_400_000_000_000).quotient) + shift
        return HDate(daysSinceEpoch: days).map { ZincWriter.text(.date($0)) } ?? "1970-01-01"
      }
      let range = "\(start.map { day($0, -2) } ?? "1970-01-01"),\(day(end ?? RecordStore.now(), 2))"
      let question = HGrid(columns: [.init("id"), .init("range")], rows: [["id": .ref(HRef(id)), "range": .string(range)]])
      try rows("hisRead", question) { row in
        let row = row.tree
        guard case .dateTime(let moment)? = row["ts"] else { throw HistoryFailure("the server gives an item without a moment") }
        // What has no value says that there is none.
        guard let value = row["val"], moment.nanoseconds >= start ?? .min, end.map({ moment.nanoseconds < $0 }) ?? true else { return }
        try body(HistoryItem(nanoseconds: moment.nanoseconds, value: value))
      }
    } catch let error as FerryError where error.class == .peer { throw HistoryFailure(error.message) }
  }

  /// A point, by its id as the server writes it.
  private func point(_ id: String) throws -> (id: String, HDict) {
    var known: Set<String> = []
    for id in [project.isEmpty || CloneForm.isAbsolute(id) ? id : "p:\(project):r:\(id)", id] where known.insert(id).inserted {
      var found: HDict?
      // A record that is not there is an empty row at one server, none at another, and an error at a third.
      do {
        try rows("read", HGrid(columns: [.init("id")], rows: [["id": .ref(HRef(id))]])) { if $0.tree["point"] != nil { found = $0.tree } }
      } catch let error as FerryError where error.class == .peer && known.count == 1 && !project.isEmpty { continue }
      if let found { return (id, found) }
    }
    throw HistoryFailure("the server has no point @\(id)")
  }
}

extension HDict {
  /// The time zone of a point.
  var zone: String { if case .string(let zone)? = self["tz"] { zone } else { "" } }
}
