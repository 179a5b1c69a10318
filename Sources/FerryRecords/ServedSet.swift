import FerrySystem
import Haystack

/// The records of a store that match a filter, kept up to date by the store's log: which they are, their digest, and what a client does not have yet.
final class ServedSet {
  private let store: RecordStore
  private let filter: Filter
  /// At most so many, the first by id; 0: all.
  let limit: Int
  private let relativizer: Relativizer
  private let hasher = RecordHasher()
  private let finder: StoreFinder

  private var hashes = MemberHashes()
  private(set) var digest = SetDigest()
  private(set) var isOverMax = false
  private(set) var seq: Int64?
  /// Which rows' matches hang on a record.
  private var dependents: [String: [Int64]] = [:]

  /// What the client had when it was last up to date with us, and what has changed since.
  private(set) var base: SetDigest?
  private(set) var upserts: Set<Int64> = []
  private(set) var removals: Set<String> = []

  init(_ store: RecordStore, filter: Filter, limit: Int, clientProject: String) throws {
    self.store = store
    self.filter = store.own(filter)
    self.limit = limit
    relativizer = Relativizer(projects: [store.project])
    finder = StoreFinder(store)
  }

  /// The client is up to date.
  func settle() {
    base = digest
    upserts.removeAll()
    removals.removeAll()
  }

  var hasNews: Bool { !upserts.isEmpty || !removals.isEmpty }

  /// Takes in what has changed. `sink` sees every member if all had to be read.
  func refresh(_ sink: ((RecordStore.Row) throws -> Void)? = nil) throws {
    let head = try store.head()
    if seq == head { return }
    finder.forget()
    if let seq, limit == 0, try store.logReaches(seq) { try follow(from: seq) } else { try readAll(sink) }
    seq = head
  }

  /// Takes the members from a reading that fills the store with nothing else, while that goes on, and shows them to `sink`; false if there was no
  /// such reading.
  func follow(_ reading: (RecordOutlet) throws -> Void, _ sink: @escaping (RecordStore.Row) throws -> Void) throws -> Bool {
    begin()
    var isRead = false
    try reading(
      RecordOutlet { [self] row in
        isRead = true
        guard !CloneForm.isNever(row.tags) else { return }
        set(row.rid, hasher.hash(relativizer.relative(row.id), mod: row.mod))
        try sink(row)
      })
    if isRead { seq = try store.head() }
    return isRead
  }

  private func begin() {
    seq = nil
    hashes = MemberHashes()
    digest = SetDigest()
    dependents.removeAll()
    base = nil
    settleNothing()
    isOverMax = false
  }

  private func readAll(_ sink: ((RecordStore.Row) throws -> Void)?) throws {
    begin()
    finder.onFind = nil
    var count = 0
    try store.rows(filter, where: "clone_set IS NULL", byID: limit > 0, finder: finder) { row in
      guard !CloneForm.isNever(row.tags) else { return true }
      guard limit == 0 || count < limit else {
        isOverMax = true
        return false
      }
      count += 1
      set(row.rid, hasher.hash(relativizer.relative(row.id), mod: row.mod))
      try sink?(row)
      return true
    }
    if filter.followsRefs { try noteDependents() }
  }

  private func settleNothing() {
    upserts.removeAll()
    removals.removeAll()
  }

  /// A filter is asked about rows that do not match, too: their match may begin through another record's edit. So it is asked about all once more,
  /// with somebody who listens.
  private func noteDependents() throws {
    dependents.removeAll()
    let all = try store.database.prepare("SELECT rid, tags FROM records WHERE clone_set IS NULL")
    var rid: Int64 = 0
    observe { rid }
    while try all.step() {
      rid = all.int(0)
      _ = filter.matches(all.bytes(1), finder: finder)
    }
    try finder.throwIfFailed()
  }

  private func observe(_ rid: @escaping () -> Int64) {
    guard filter.followsRefs else { return }
    finder.onFind = { [unowned self] id in
      let row = rid()
      if dependents[id]?.last != row { dependents[id, default: []].append(row) }
    }
  }

  private func set(_ rid: Int64, _ hash: RecordHash?) {
    if let old = hashes[rid] { digest.remove(old) }
    hashes[rid] = hash
    if let hash { digest.add(hash) }
  }

  private func follow(from seq: Int64) throws {
    var changed: [Int64: Set<String>] = [:]
    let log = try store.database.prepare("SELECT rid, id FROM changes WHERE seq > ?").bind(1, seq)
    while try log.step() { changed[log.int(0), default: []].insert(log.text(1)) }
    for ids in Array(changed.values) {
      for id in ids { for rid in dependents[id] ?? [] where changed[rid] == nil { changed[rid] = [] } }
    }
    let record = try store.database.prepare("SELECT id, mod, tags FROM records WHERE rid = ? AND clone_set IS NULL")
    for (rid, ids) in changed {
      observe { rid }
      record.reset()
      record.bind(1, rid)
      let isThere = try record.step()
      let matches = isThere && !CloneForm.isNever(record.bytes(2)) && filter.matches(record.bytes(2), finder: finder)
      try finder.throwIfFailed()
      let before = hashes[rid]
      let id = isThere ? record.text(0) : nil
      // A row's number may come back with another record.
      for gone in ids where gone != id { remove(relativizer.relative(gone)) }
      if matches, let id {
        let hash = hasher.hash(relativizer.relative(record.bytes(0)), mod: record.int(1))
        if before != hash {
          set(rid, hash)
          upserts.insert(rid)
          removals.remove(relativizer.relative(id))
        }
      } else if before != nil {
        set(rid, nil)
        upserts.remove(rid)
        if let id { remove(relativizer.relative(id)) }
      }
    }
  }

  private func remove(_ id: String) { removals.insert(id) }

  /// All members' keys.
  func keys() -> [UInt64] {
    var keys: [UInt64] = []
    keys.reserveCapacity(Int(digest.count))
    for member in hashes.all { keys.append(member.hash.key) }
    return keys
  }

  /// All members' rows.
  func rows() -> some Sequence<Int64> { hashes.all.lazy.map(\.rid) }

  /// The rows of some keys.
  func rows(of keys: Set<UInt64>) -> Set<Int64> { Set(hashes.all.lazy.filter { keys.contains($0.hash.key) }.map(\.rid)) }

  /// What the log says since a place in it: rows that are members and ids that are not. Nil if it cannot tell.
  func changes(since cursor: CloneCursor) throws -> (upserts: Set<Int64>, removals: Set<String>)? {
    guard try cursor.epoch == store.epoch, limit == 0, !filter.followsRefs, try store.logReaches(cursor.seq) else { return nil }
    var upserts: Set<Int64> = []
    var removals: Set<String> = []
    let log = try store.database.prepare("SELECT DISTINCT id FROM changes WHERE seq > ?").bind(1, cursor.seq)
    let row = try store.database.prepare("SELECT rid FROM records WHERE id = ?")
    while try log.step() {
      let id = log.text(0)
      row.reset()
      row.bind(1, id)
      if try row.step(), hashes[row.int(0)] != nil { upserts.insert(row.int(0)) } else { removals.insert(relativizer.relative(id)) }
      if Int64(upserts.count + removals.count) > digest.count / 2 + 64 { return nil }
    }
    return (upserts, removals)
  }
}
