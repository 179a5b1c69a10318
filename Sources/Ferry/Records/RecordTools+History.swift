import FerryRecords
import FerrySystem
import Haystack

/// The history of cloned points.
extension RecordTools {
  /// Who logs in to a server.
  public struct Login: Sendable {
    var user: String
    var password: [UInt8]

    /// A user, whose password is the first line of a file.
    public init(user: String, passwordFile: String) throws {
      self.user = user
      password = Array(try Files.read(passwordFile).prefix { $0 != 10 && $0 != 13 })
    }
  }

  /// What a sync brought.
  public struct HistorySync: Encodable, Sendable {
    /// Points that were asked for.
    public var points: Int
    /// Items written.
    public var items: Int64
    /// Why a point's history did not come, by its id.
    public var failures: [String: String]
  }

  /// Fetches the history of cloned points from where they were cloned from: `sqlite:/path`, or `haystack+https://host/api` of a server. Without a
  /// span, from where each point's history ends here. One point that fails does not keep the others.
  public func syncHistory(
    from address: String, project: String = "", login: Login? = nil, filter: String? = nil, span: String? = nil
  ) throws -> HistorySync {
    let filter = try filter.map { try Filter($0) }
    let span = try span.map { try HistorySpan($0) }
    let report: HistoryReport
    if address.hasPrefix("haystack+http") {
      let client = HaystackClient(
        String(address.dropFirst("haystack+".utf8.count)), user: login?.user, password: login?.password ?? [], project: project)
      report = try store.syncHistory(filter, span: span, from: client)
    } else {
      report = try store.syncHistory(filter, span: span, from: RecordStore(path: Self.path(address)))
    }
    return HistorySync(points: report.points, items: report.items, failures: report.failures)
  }
}
