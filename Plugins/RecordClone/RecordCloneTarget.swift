import FerryPluginKit
import FerryRecords
import Glibc

/// The client's store. One that exists is changed where it is: the clone set and its clones are added to it. One that does not is made beside its
/// place, and gets its name in `activate`.
struct RecordCloneTarget {
  let path: String
  let project: String
  let run: String
  let item: String
  let kv: KeyValueStore
  /// The id of an existing set, or of the one to make.
  let set: String?

  private static let madeKey = "made"
  private static let setKey = "set"

  /// What `prepare` made.
  struct Made: Codable {
    var store: Bool
    var set: Bool
    /// The filter that the set had before.
    var filterBefore: String?
  }

  var staged: String { "\(Files.parent(of: path))/.\(path.split(separator: "/").last.map(String.init) ?? "").ferry-\(run)" }

  /// Where the store is now.
  func current(active: Bool) throws -> String {
    if active || !Files.exists(staged) { return path }
    return staged
  }

  /// Whether the store is new.
  var isNew: Bool { (try? kv.get(Self.madeKey, as: Made.self)?.store) ?? false }

  func open(active: Bool = false) throws -> RecordStore { try RecordStore(path: current(active: active)) }

  /// The clone set's id in a store.
  func id(in store: RecordStore) -> String { store.absoluteID(set ?? "clone-set-\(item)") }

  func prepare(filter: String?, server: String?) throws -> CloneSet {
    var made = try kv.get(Self.madeKey, as: Made.self) ?? Made(store: !Files.exists(path), set: false, filterBefore: nil)
    // What will be made is on disk before it is made.
    try kv.put(Self.madeKey, made)
    if made.store && !Files.exists(path) { try makeStaged() }
    let store = try open()
    let id = id(in: store)
    let known = try store.cloneSet(id)
    guard let wanted = filter ?? known?.filter else {
      throw FerryError(.notFound, "\(path) has no clone set @\(id)", hint: "give the item a 'filter', and it makes one")
    }
    let set = CloneSet(id: id, server: server ?? known?.server ?? "", filter: wanted)
    if known == nil {
      made.set = true
      try kv.put(Self.madeKey, made)
    } else if let known, known.filter != wanted, !made.set, made.filterBefore == nil {
      made.filterBefore = known.filter
      try kv.put(Self.madeKey, made)
    }
    try store.put(set)
    return set
  }

  /// Unless it is there whole: a process, or the disk's room, may have come to its end in the middle of making it.
  private func makeStaged() throws {
    if Files.exists(staged) {
      do {
        _ = try RecordStore(path: staged)
        return
      } catch let error as FerryError where error.class == .invalid { try removeStaged() }
    }
    _ = try RecordStore(creating: staged, project: project)
  }

  private func removeStaged() throws { for ending in ["-wal", "-shm", ""] { try Files.remove(staged + ending) } }

  func activate() throws {
    guard isNew, Files.exists(staged) else { return }
    guard !Files.exists(path) else { throw FerryError(.conflict, "\(path) was made by somebody else meanwhile") }
    try rename(staged, to: path)
  }

  func deactivate() throws {
    guard isNew, Files.exists(path), !Files.exists(staged) else { return }
    try rename(path, to: staged)
  }

  /// With its log: what is in that is part of the store.
  private func rename(_ from: String, to: String) throws {
    // The last connection that closes takes the log into the file.
    do { try RecordStore(path: from).flush() }
    for ending in ["-wal", "-shm"] where Files.exists(from + ending) {
      throw FerryError(.precondition, "\(from) is in use by another program", hint: "stop it, then try again")
    }
    guard Glibc.rename(from, to) == 0 else { throw FerryError(errno: errno, "cannot rename \(from) to \(to)") }
    try Files.syncFolder(of: to)
  }

  func discard() throws {
    guard let made = try kv.get(Self.madeKey, as: Made.self) else { return }
    if made.store {
      try removeStaged()
    } else if Files.exists(path) {
      let store = try RecordStore(path: path)
      let id = id(in: store)
      if made.set {
        try store.removeCloneSet(id)
      } else if let filter = made.filterBefore, let set = try store.cloneSet(id) {
        try store.put(CloneSet(id: id, server: set.server, filter: filter))
      }
    }
    try kv.remove(Self.madeKey)
  }
}
