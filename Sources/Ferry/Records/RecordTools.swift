import FerryRecords
import FerrySystem
import Glibc
import Haystack

/// What people do with record stores outside of runs: `ferry records`.
public struct RecordTools {
  let store: RecordStore

  /// Opens a store: `sqlite:/path`, or the path alone.
  public init(_ address: String) throws { store = try RecordStore(path: Self.path(address)) }

  private init(store: RecordStore) { self.store = store }

  /// Makes a store. `project` is the name that its references begin with; empty for none.
  public static func create(_ address: String, project: String) throws -> RecordTools {
    RecordTools(store: try RecordStore(creating: path(address), project: project))
  }

  static func path(_ address: String) throws -> String {
    if address.hasPrefix("sqlite:") { return String(address.dropFirst(7)) }
    guard !address.contains(":") else {
      throw FerryError(.invalid, "'\(address)' is no record store", hint: "sqlite:/path, or the path alone")
    }
    return address
  }

  // MARK: Settings

  /// Whether others may clone from the store, and its clones are protected.
  public func setCloning(_ enabled: Bool) throws { try store.setCloning(enabled) }

  /// Whether the store is cloned from, and does not clone.
  public func setIsolated(_ isolated: Bool) throws { try store.setIsolated(isolated) }

  // MARK: Looking

  /// One clone set, as it is known.
  public struct SetStatus: Encodable, Sendable {
    /// The clone set's id.
    public var id: String
    /// `synced`, `never`, or the flag that is worst.
    public var state: String
    /// The server's project.
    public var server: String
    /// What is cloned.
    public var filter: String
    /// Clones.
    public var count: Int64
    /// Their digest by ids and times of change.
    public var digest: String
    /// Seconds since 1970 of the last exchange of each kind; nil: never.
    public var lastSub: Double?
    /// When differences were last found and mended.
    public var lastSync: Double?
    /// When a clone last changed.
    public var lastUpdate: Double?
    /// `overMax`, `overlaps`, `mismatch`.
    public var flags: [String]
  }

  /// A store, as it is.
  public struct Status: Encodable, Sendable {
    /// The project's name.
    public var project: String
    /// Whether cloning is on.
    public var cloning: Bool
    /// Whether it only serves.
    public var isolated: Bool
    /// All records.
    public var records: Int
    /// Clones without a clone set.
    public var orphans: Int
    /// The clone sets.
    public var sets: [SetStatus]
  }

  /// The debug view.
  public func status() throws -> Status {
    var orphans = 0
    try store.orphans { _ in
      orphans += 1
      return true
    }
    let sets = try store.cloneSets().map { set in
      let state = try store.cloneState(set.id)
      func seconds(_ time: Int64?) -> Double? { time.map { Double($0) / 1e9 } }
      let flags = state.flags.sorted()
      return SetStatus(
        id: set.id, state: state.lastSub == nil ? "never" : flags.first ?? "synced",
        server: state.server.isEmpty ? set.server : state.server,
        filter: set.filter, count: state.digest.count, digest: state.digest.hex, lastSub: seconds(state.lastSub),
        lastSync: seconds(state.lastSync), lastUpdate: seconds(state.lastUpdate), flags: flags)
    }
    return Status(
      project: store.project, cloning: try store.isCloningEnabled, isolated: try store.isIsolated, records: try store.count(),
      orphans: orphans, sets: sets)
  }

  /// The records that match, each as Hayson and as Trio.
  public func read(filter: String?, limit: Int, _ body: (_ json: JSONValue, _ trio: String) throws -> Void) throws {
    var left = limit
    try store.forEach(filter.map { try Filter($0) }, byID: true) { record in
      guard left > 0 else { return false }
      left -= 1
      try body(Hayson.json(record.tree), TrioWriter.text(record.tree))
      return true
    }
  }

  /// The ids of clones whose clone set is gone.
  public func orphans() throws -> [String] {
    var ids: [String] = []
    try store.orphans {
      ids.append($0.tree.id?.id ?? "")
      return true
    }
    return ids
  }

  /// Removes them; answers how many.
  public func removeOrphans() throws -> Int { try store.removeOrphans() }

  /// What a comparison of content found.
  public struct Comparison: Encodable, Sendable {
    /// The clone set's id.
    public var id: String
    /// Digest over content at this end, and at the server's.
    public var clones: String
    /// At the server's end.
    public var progenitors: String
    /// Clones.
    public var count: Int64
    /// Ids of the first records that differ.
    public var different: [String]
  }

  /// Compares each clone set's content with the store that it was cloned from.
  public func verify(against server: String) throws -> [Comparison] {
    let other = try RecordStore(path: Self.path(server))
    return try store.cloneSets().filter { [other.project, ""].contains($0.server) || other.project.isEmpty }.map { set in
      let place = try TransientFolder("\(Environment.temporaryFolder)/ferry-verify", orSay: "cannot make a temporary folder")
      defer { place.remove() }
      let folder = place.path
      let ours = try ContentDigest.clones(store, set.id, listing: "\(folder)/ours")
      let theirs = try ContentDigest.progenitors(other, Filter(set.filter), client: store.project, listing: "\(folder)/theirs")
      var different: [String] = []
      if ours.root != theirs.root {
        func lines(_ name: String) throws -> Set<Substring> {
          Set(String(decoding: try Files.read("\(folder)/\(name)", limit: .max), as: UTF8.self).split(separator: "\n"))
        }
        let ids = try lines("ours").symmetricDifference(lines("theirs")).compactMap { $0.split(separator: "\t").last.map(String.init) }
        different = Set(ids).sorted().prefix(20).map { $0 }
      }
      return Comparison(id: set.id, clones: ours.root, progenitors: theirs.root, count: ours.count, different: different)
    }
  }

  // MARK: Files

  /// Takes the records of a file; one that is there already becomes as in the file. Answers how many there were.
  public func importFile(_ path: String) throws -> Int {
    var count = 0
    var batch: [RecordStore.Edit] = []
    try RecordFile(path).forEach { record in
      batch.append(.put(record))
      count += 1
      if batch.count >= 5000 {
        try store.commit(batch)
        batch.removeAll(keepingCapacity: true)
      }
    }
    try store.commit(batch)
    return count
  }

  /// Writes the records that match into a file, whose ending says how; answers how many.
  public func exportFile(_ path: String, filter: String?) throws -> Int {
    let format = try RecordFormat(path: path)
    let filter = try filter.map { try Filter($0) }
    let file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    try format.write(store, filter) { try file.write($0) }
    return try store.count(filter)
  }
}
