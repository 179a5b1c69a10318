import FerrySystem
import Haystack

/// Clones at a server of others that takes commits, as Haxall does by its op `commit`. They are made in a store at hand first, in the way of all
/// clones; then those at the server are made equal to them by what both hold, so an edit that somebody made there is found and mended.
/// For one thread.
public final class HaystackSink {
  /// What that took.
  public struct Report: Sendable, Hashable {
    /// Clones that were not there.
    public var added = 0
    /// Clones that were there in another form.
    public var changed = 0
    /// Clones that are none any more.
    public var removed = 0
    /// Relative ids that the server has given to records that are no clones of the set: they stay what they are.
    public var conflicts: [String] = []
  }

  private let client: HaystackClient
  private let store: RecordStore
  private let set: String
  private let relativizer: Relativizer
  private var form = PackedBuilder()

  /// How many records go with one request.
  private static let most = 500

  /// The clones of a set at a server. `store` has the set and the clones as they should be.
  public init(_ client: HaystackClient, _ store: RecordStore, set: String) {
    (self.client, self.store, self.set) = (client, store, set)
    relativizer = Relativizer(projects: [store.project])
  }

  // MARK: The set

  /// Whether the server says that it takes commits; servers that do not list their ops may.
  public func takesCommits() throws -> Bool {
    var names: [String] = []
    try client.rows("ops", nil) { row in
      let row = row.tree
      for case .symbol(let name)? in [row["def"]] { names.append(String(name.drop { $0 != ":" }.dropFirst())) }
      for case .string(let name)? in [row["name"]] { names.append(name) }
    }
    return names.isEmpty || names.contains("commit")
  }

  private func setRecord() throws -> HDict? {
    var found: HDict?
    try HaystackQuery(client, filter: "id==@\(set)").forEach { found = $0.tree }
    return found
  }

  /// The set's record at the server.
  public func cloneSet() throws -> CloneSet? {
    try setRecord().map {
      let found = try CloneSet($0)
      return CloneSet(id: set, server: found.server, filter: found.filter)
    }
  }

  /// Makes or changes it.
  public func put(_ wanted: CloneSet) throws {
    guard let old = try setRecord() else { return try commit("add", [wanted.record]) }
    let found = try CloneSet(old)
    guard found.server != wanted.server || found.filter != wanted.filter else { return }
    var changes = wanted.record
    changes["id"] = old["id"]
    changes["mod"] = old["mod"]
    try commit("update", [changes])
  }

  /// Removes it with all its clones.
  public func removeCloneSet() throws {
    var rows: [HDict] = []
    try forEachClone { rows.append(Self.asItIs($0.tree)) }
    if let old = try setRecord() { rows.append(Self.asItIs(old)) }
    try commitAll("remove", rows)
  }

  // MARK: The clones

  private func forEachClone(_ body: (PackedDict) throws -> Void) throws {
    try HaystackQuery(client, filter: "clone and cloneSetRef==@\(set)").forEach(body)
  }

  /// Makes the server's clones what the store has, which must be settled: what it has not is removed. Unless `allowsRemovals`, that may not be more
  /// than a share of them.
  public func reconcile(allowsRemovals: Bool, tuning: CloneClient.Tuning = CloneClient.Tuning()) throws -> Report {
    var report = Report()
    var seen: Set<Int64> = []
    // Rows of one request have the same tags: an empty cell would be one that means nothing to some servers, and no value to others.
    var updates: [[String]: [HDict]] = [:]
    var removals: [HDict] = []
    var count: Int64 = 0
    let row = try store.database.prepare("SELECT rid, tags FROM records WHERE id = ? AND clone_set = ?")
    try forEachClone { record in
      count += 1
      let theirs = record.tree
      guard let id = theirs.id?.id else { throw FerryError(.peer, "the server has a clone without an id") }
      row.reset()
      row.bind(1, store.absolute(id)).bind(2, set)
      guard try row.step() else { return removals.append(Self.asItIs(theirs)) }
      guard seen.insert(row.int(0)).inserted else { throw FerryError(.peer, "the server has two records @\(id)") }
      let ours = row.bytes(1)
      if record.bytes.withUnsafeBytes(formed) == formed(ours) { return }
      var changes = Self.asItIs(theirs)
      for (name, value) in PackedDict(bytes: Array(ours)).tree.tags where name != "id" && name != "mod" && theirs[name] != value {
        changes[name] = value
      }
      for name in theirs.tags.keys where name != "mod" && !ours.hasTag(name) { changes[name] = .remove }
      updates[changes.tags.keys.sorted(), default: []].append(changes)
      report.changed += 1
    }
    guard allowsRemovals || !tuning.isMassRemoval(removals.count, of: count) else {
      throw CloneClient.massRemoval(removals.count, of: count, in: set, "nothing was changed at the server")
    }
    for rows in updates.values { try commitAll("update", rows) }
    try add(but: seen, &report)
    // Nothing goes before all else is there.
    try commitAll("remove", removals)
    report.removed = removals.count
    return report
  }

  private func add(but seen: Set<Int64>, _ report: inout Report) throws {
    var batch: [HDict] = []
    var shape: Int64 = 0
    let rows = try store.database.prepare("SELECT rid, shape, tags FROM records WHERE clone_set = ? ORDER BY shape, rid").bind(1, set)
    while try rows.step() {
      if seen.contains(rows.int(0)) { continue }
      if rows.int(1) != shape || batch.count == Self.most {
        try add(&batch, &report)
        shape = rows.int(1)
      }
      var record = PackedDict(bytes: Array(rows.bytes(2))).tree
      record["mod"] = nil
      batch.append(record)
    }
    try add(&batch, &report)
  }

  /// Adds what has an id that is free.
  private func add(_ batch: inout [HDict], _ report: inout Report) throws {
    defer { batch.removeAll(keepingCapacity: true) }
    guard !batch.isEmpty else { return }
    var taken: Set<String> = []
    try client.rows("read", HGrid(columns: [HGrid.Column("id")], rows: batch.map { ["id": $0["id"] ?? .na] })) {
      // What the server does not have is a row without an id.
      if let id = $0.tree.id?.id { taken.insert(relativizer.relative(id)) }
    }
    let free = batch.filter { !taken.contains(relativizer.relative($0.id?.id ?? "")) }
    report.conflicts += taken.sorted()
    try commitAll("add", free)
    report.added += free.count
  }

  /// What a commit says of a record so that it is refused if somebody has changed that since.
  private static func asItIs(_ record: HDict) -> HDict {
    var row: HDict = [:]
    (row["id"], row["mod"]) = (record["id"], record["mod"])
    return row
  }

  private func commitAll(_ way: String, _ rows: [HDict]) throws {
    for start in stride(from: 0, to: rows.count, by: Self.most) { try commit(way, Array(rows[start..<min(start + Self.most, rows.count)])) }
  }

  private func commit(_ way: String, _ rows: [HDict]) throws {
    var answered = 0
    try client.rows("commit", HGrid(meta: ["commit": .string(way)], rows: rows)) { _ in answered += 1 }
    // What was added or changed is answered as it is now; what was removed is nothing.
    guard way == "remove" || answered == rows.count else {
      throw FerryError(.peer, "the server was to \(way) \(rows.count) records, and answers for \(answered)")
    }
  }

  /// What of a clone is compared: all but its `mod`, and references as they are everywhere.
  private func formed(_ tags: UnsafeRawBufferPointer) -> [UInt8] {
    form.clear()
    var cursor = PackedCursor(tags)
    while let tag = cursor.tag() {
      if tag.name.elementsEqual("mod".utf8) { continue }
      form.name(tag.name)
      tag.value.rewritingRefs(to: &form) { $1.ref(relativizer.relative($0)) }
    }
    return form.bytes
  }

  /// What the server's clones are, by their content; comparable with that of their progenitors.
  public func digest(_ algorithm: ContentDigest.Algorithm, listing: String? = nil) throws -> ContentDigest {
    try ContentDigest.compute(algorithm, relativizer, listing) { body in
      try forEachClone { record in
        try record.bytes.withUnsafeBytes { tags in
          var cursor = PackedCursor(tags)
          guard let mod = cursor.find(Self.cloneMod)?.nanoseconds, let id = cursor.find(Self.id)?.ref else {
            throw FerryError(.peer, "the server has a clone without 'cloneMod'")
          }
          try body(RecordStore.Row(rid: 0, id: id, mod: mod, tags: tags))
        }
      }
    }
  }
  private static let cloneMod = Array("cloneMod".utf8)
  private static let id = Array("id".utf8)
}

extension UnsafeRawBufferPointer {
  /// Whether packed tags have one of a name.
  fileprivate func hasTag(_ name: String) -> Bool {
    var cursor = PackedCursor(self)
    return cursor.find(Array(name.utf8)) != nil
  }
}
