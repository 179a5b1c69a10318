import FerryPluginKit
import FerryRecords

/// A client that is a server of others: clones are made in a store beside the run, and go from there to the server.
struct RecordCloneServerTarget {
  /// The client's store, as if the clones were to stay there.
  let store: RecordStore
  let sink: HaystackSink
  /// The clone set's id.
  let set: String
  private let kv: KeyValueStore

  private static let madeKey = "made-at-server"

  /// What `prepare` made.
  private struct Made: Codable {
    var set: Bool
    /// The filter that the set had before.
    var filterBefore: String?
  }

  init(_ client: HaystackClient, folder: String, project: String, set: String, kv: KeyValueStore) throws {
    let path = "\(folder)/clones.db"
    store = try Files.exists(path) ? RecordStore(path: path) : RecordStore(creating: path, project: project)
    self.set = store.absoluteID(set)
    self.kv = kv
    sink = HaystackSink(client, store, set: self.set)
  }

  /// Whether this run has given the set another filter: then clones may go.
  var hasOtherFilter: Bool { (try? kv.get(Self.madeKey, as: Made.self)?.filterBefore) != nil }

  func prepare(filter: String?, server: String?) throws -> CloneSet {
    let known = try sink.cloneSet()
    guard let filter = filter ?? known?.filter else {
      throw FerryError(.notFound, "the server has no clone set @\(set)", hint: "give the item a 'filter', and it makes one")
    }
    var made = try kv.get(Self.madeKey, as: Made.self) ?? Made(set: known == nil)
    if !made.set, made.filterBefore == nil, let known, known.filter != filter { made.filterBefore = known.filter }
    // What will be made is on disk before it is made.
    try kv.put(Self.madeKey, made)
    let wanted = CloneSet(id: set, server: server ?? known?.server ?? "", filter: filter)
    try sink.put(wanted)
    try store.put(wanted)
    return wanted
  }

  /// The set as somebody may have edited it meanwhile.
  func readSet() throws {
    guard var found = try sink.cloneSet() else {
      throw FerryError(
        .precondition, "clone set @\(set) is gone from the server: its clones there are orphans",
        hint: "they are what `clone and cloneSetRef==@\(set)` finds there")
    }
    // The store has learnt whom it clones from.
    if found.server.isEmpty, let known = try store.cloneSet(set) { found.server = known.server }
    try store.put(found)
  }

  func discard() throws {
    guard let made = try kv.get(Self.madeKey, as: Made.self) else { return }
    if made.set {
      try sink.removeCloneSet()
    } else if let filter = made.filterBefore, let known = try sink.cloneSet() {
      try sink.put(CloneSet(id: set, server: known.server, filter: filter))
    }
    try kv.remove(Self.madeKey)
  }
}
