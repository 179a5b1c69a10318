import FerrySystem
import Glibc
import Haystack

/// A project in one SQLite file: its records, their history, and a log of what has changed. For one thread; any number of programs may use
/// one file.
public final class RecordStore {
  /// The file.
  public let path: String
  /// What references to the project's records begin with, without `p:` and `:r:`; empty: nothing.
  public private(set) var project = ""
  let database: Database
  private var shapes: [[UInt8]: Int64] = [:]
  /// Records of a shape mostly come one after another.
  private var lastShape: (names: [UInt8], shape: Int64) = ([], 0)
  private var names: [UInt8] = []

  /// Opens a project file.
  public init(path: String, readOnly: Bool = false) throws {
    self.path = path
    do { database = try Database(path, readOnly: readOnly) } catch let error as FerryError where error.class == .notFound {
      throw FerryError(.notFound, "there is no record store \(path)", hint: "`ferry records import sqlite:\(path) FILE` makes one")
    }
    let application = try database.statement("PRAGMA application_id")
    guard try application.step(), application.int(0) == Self.application else {
      throw FerryError(.invalid, "\(path) is no record store of Ferry's")
    }
    application.reset()
    let version = try database.statement("PRAGMA user_version")
    guard try version.step(), version.int(0) == Self.version else {
      throw FerryError(.unsupported, "\(path) was written by a later Ferry", hint: "use that one, or a newer")
    }
    version.reset()
    try tune()
    project = try setting("project") ?? ""
  }

  /// Makes a project file. `project` is what references to its records begin with (`p:project:r:`); empty for a project whose references
  /// begin with nothing, as Haxall's do.
  public convenience init(creating path: String, project: String) throws { try self.init(creating: path, project: project, journal: "WAL") }

  init(creating path: String, project: String, journal: String) throws {
    guard project.isEmpty || HRef.isID(project) && !project.contains(":") else {
      throw FerryError(.invalid, "'\(project)' cannot be a project's name", hint: "letters, digits and _ - . ~")
    }
    guard !Files.exists(path) else { throw FerryError(.conflict, "\(path) exists") }
    self.path = path
    self.project = project
    database = try Database(path, create: true)
    // A page of many records is written in one piece; with the small ones that are usual the system's calls cost as much as all else.
    try database.execute("PRAGMA page_size=16384; PRAGMA journal_mode=\(journal)")
    try tune()
    try database.transaction {
      try database.execute(Self.schema)
      try database.execute("PRAGMA application_id=\(Self.application); PRAGMA user_version=\(Self.version)")
      try set("project", project)
      // What tells one file from another of the same project: a log's numbers mean nothing in a copy that went its own way.
      try set("epoch", String(Int64.random(in: 1...Int64.max)))
    }
  }

  private func tune() throws {
    try database.execute("PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY; PRAGMA recursive_triggers=ON")
  }

  // MARK: Settings

  /// Which file this is.
  public var epoch: Int64 { get throws { Int64(try setting("epoch") ?? "") ?? 0 } }

  /// Whether others may clone from here, and clones here are protected. On unless switched off.
  public var isCloningEnabled: Bool { get throws { try setting("cloning") != "off" } }

  /// Switches cloning on or off. While it is off, clones may be edited as other records.
  public func setCloning(_ enabled: Bool) throws {
    try database.transaction {
      try set("cloning", enabled ? "on" : "off")
      try database.execute("UPDATE guard SET enabled = \(enabled ? 1 : 0)")
    }
  }

  /// Whether this node serves only: it may be cloned from, and does not clone.
  public var isIsolated: Bool { get throws { try setting("isolated") == "yes" } }

  /// Makes it serve only, or not.
  public func setIsolated(_ isolated: Bool) throws { try database.transaction { try set("isolated", isolated ? "yes" : "no") } }

  func setting(_ name: String) throws -> String? {
    let statement = try database.statement("SELECT value FROM settings WHERE name = ?").bind(1, name)
    defer { statement.reset() }
    return try statement.step() ? statement.text(0) : nil
  }

  func set(_ name: String, _ value: String) throws {
    try database.statement("INSERT OR REPLACE INTO settings VALUES(?, ?)").bind(1, name).bind(2, value).run()
  }

  /// What was committed is on disk when this returns, in the file itself.
  public func flush() throws {
    let checkpoint = try database.prepare("PRAGMA wal_checkpoint(TRUNCATE)")
    _ = try checkpoint.step()
  }

  /// An id of this project: one that names no project gets this one's.
  public func absoluteID(_ id: String) -> String { absolute(id) }

  // MARK: Shapes

  /// Records with the same names of tags share a shape, and there are few: that is the index of `site`, `point and not disabled` and the like.
  func shape(of tags: UnsafeRawBufferPointer) throws -> Int64 {
    // In hand while it grows: the runtime watches each access to a variable of a class.
    var names: [UInt8] = []
    swap(&names, &self.names)
    defer { swap(&names, &self.names) }
    names.removeAll(keepingCapacity: true)
    var cursor = PackedCursor(tags)
    while let tag = cursor.tag() {
      names.append(contentsOf: tag.name)
      names.append(0x20)
    }
    return try shape(named: names)
  }

  /// The same by the names, each with a space behind it.
  func shape(named names: [UInt8]) throws -> Int64 {
    if lastShape.shape != 0, names == lastShape.names { return lastShape.shape }
    let shape = try shapes[names] ?? makeShape(names)
    lastShape = (names, shape)
    return shape
  }

  private func makeShape(_ names: [UInt8]) throws -> Int64 {
    let text = String(decoding: names, as: UTF8.self)
    try database.statement("INSERT OR IGNORE INTO shapes(tags) VALUES(?)").bind(1, text).run()
    let statement = try database.statement("SELECT shape FROM shapes WHERE tags = ?").bind(1, text)
    defer { statement.reset() }
    guard try statement.step() else { throw FerryError(.internal, "\(path): a shape was not kept") }
    let shape = statement.int(0)
    // A store whose records are all different would fill the memory with names.
    if shapes.count > 20_000 { shapes.removeAll() }
    shapes[names] = shape
    return shape
  }

  /// What was rolled back takes its shapes with it.
  func forgetShapes() {
    shapes.removeAll()
    lastShape.shape = 0
  }

  /// Whether another connection has committed since this was asked last.
  func dataVersion() throws -> Int64 {
    let statement = try database.statement("PRAGMA data_version")
    defer { statement.reset() }
    return try statement.step() ? statement.int(0) : 0
  }

  /// Nanoseconds since 1970, never the same or less twice in a process.
  static func now() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let now = Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    return lastNow.withLock { last in
      last = max(last + 1, now)
      return last
    }
  }
  private static let lastNow = Lock<Int64>(0)
}
