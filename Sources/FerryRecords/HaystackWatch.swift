import FerrySystem
import Haystack

/// A watch at a Haystack server: of the records in it, the server notes what changes until it is asked. For one thread.
final class HaystackWatch {
  private let client: HaystackClient
  /// The server's names for it. There may be more than one: servers let a watch have so many records.
  private var names: [String] = []
  /// Ids, as the server writes them.
  private(set) var ids: Set<String> = []
  /// How long the server is to keep the watch if nobody asks. It may keep it for less: then it is gone one day, and opened again.
  private let lease: Duration

  private static let chunk = 500

  init(_ client: HaystackClient, lease: Duration) { (self.client, self.lease) = (client, lease) }

  /// Has the server watch more records, as many as it is willing to; `body` sees them as they are now. Answers whether it took all.
  func add(_ wanted: [String], _ body: (PackedDict) throws -> Void) throws -> Bool {
    let new = wanted.filter { !ids.contains($0) }
    for start in stride(from: 0, to: new.count, by: Self.chunk) {
      let chunk = Array(new[start..<min(start + Self.chunk, new.count)])
      do { try subscribe(chunk, to: names.last, body) } catch let error as FerryError where error.class == .peer {
        // Full, or no longer known; or there are no watches here.
        guard !names.isEmpty else { throw error }
        do { try subscribe(chunk, to: nil, body) } catch let error as FerryError where error.class == .peer { return false }
      }
      ids.formUnion(chunk)
    }
    return true
  }

  private func subscribe(_ chunk: [String], to name: String?, _ body: (PackedDict) throws -> Void) throws {
    var meta: HDict = ["lease": .number(HNumber(Double(lease.components.seconds), "sec"))]
    if let name { meta["watchId"] = .string(name) } else { meta["watchDis"] = .string("Ferry") }
    var given: HDict = [:]
    var rows: [PackedDict] = []
    try client.rows("watchSub", HGrid(meta: meta, columns: [HGrid.Column("id")], rows: chunk.map { ["id": .ref(HRef($0))] })) {
      given = $0
    } _: {
      rows.append($0)
    }
    // Some name only a new one.
    guard let id = Self.text(given["watchId"]) ?? name else { throw FerryError(.peer, "the server opened a watch and does not name it") }
    if !names.contains(id) { names.append(id) }
    try rows.forEach(body)
  }

  /// What has changed since this was asked last. An error may mean that the watch is no more: none says that anything is gone.
  func poll(_ body: (PackedDict) throws -> Void) throws {
    for name in names {
      try client.rows("watchPoll", HGrid(meta: ["watchId": .string(name)], columns: [HGrid.Column("empty")]), body)
    }
  }

  /// Lets the server forget it.
  func close() {
    for name in names {
      try? client.rows("watchUnsub", HGrid(meta: ["watchId": .string(name), "close": .marker], columns: [HGrid.Column("id")])) { _ in }
    }
    names.removeAll()
    ids.removeAll()
  }

  /// Servers write a watch's name as a text or as a reference.
  private static func text(_ value: HValue?) -> String? {
    switch value {
    case .string(let text): text
    case .ref(let ref): ref.id
    default: nil
    }
  }
}
