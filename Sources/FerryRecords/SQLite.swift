import CSQLite
import FerrySystem

/// A connection to a database file. For one thread.
final class Database {
  let path: String
  private let handle: OpaquePointer
  private var cached: [String: Statement] = [:]

  init(_ path: String, create: Bool = false, readOnly: Bool = false) throws {
    self.path = path
    var handle: OpaquePointer?
    let flags = (readOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | (create ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_NOMUTEX
    let code = sqlite3_open_v2(path, &handle, flags, nil)
    guard code == SQLITE_OK, let handle else {
      let reason = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "no memory"
      sqlite3_close(handle)
      throw FerryError(code == SQLITE_CANTOPEN ? .notFound : .io, "cannot open \(path): \(reason)")
    }
    self.handle = handle
    sqlite3_extended_result_codes(handle, 1)
    sqlite3_busy_timeout(handle, 60_000)
  }

  deinit {
    cached.removeAll()
    sqlite3_close_v2(handle)
  }

  /// Runs statements without results.
  func execute(_ sql: String) throws {
    guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw error("cannot write") }
  }

  /// A statement of the caller's own, for loops inside of which others run.
  func prepare(_ sql: String) throws -> Statement {
    var statement: OpaquePointer?
    guard sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK, let statement else {
      throw error("cannot read")
    }
    return Statement(statement, self)
  }

  /// A statement that is kept and reset, for what is over before the next use.
  func statement(_ sql: String) throws -> Statement {
    if let found = cached[sql] {
      found.reset()
      return found
    }
    let made = try prepare(sql)
    cached[sql] = made
    return made
  }

  /// All or nothing.
  func transaction<Result>(_ kind: String = "IMMEDIATE", _ work: () throws -> Result) throws -> Result {
    try execute("BEGIN \(kind)")
    do {
      let result = try work()
      try execute("COMMIT")
      return result
    } catch {
      for statement in cached.values { statement.reset() }
      try? execute("ROLLBACK")
      throw error
    }
  }

  /// Rows that the last statement changed.
  var changes: Int { Int(sqlite3_changes(handle)) }
  /// The row that was inserted last; 0 can be put there to see whether one is.
  var lastRow: Int64 {
    get { sqlite3_last_insert_rowid(handle) }
    set { sqlite3_set_last_insert_rowid(handle, newValue) }
  }

  func error(_ what: String) -> FerryError {
    let code = sqlite3_extended_errcode(handle)
    let reason = String(cString: sqlite3_errmsg(handle))
    switch code & 0xff {
    // What a trigger refuses; the header's macro is more than Swift can read.
    case SQLITE_CONSTRAINT where code == SQLITE_CONSTRAINT | 7 << 8: return FerryError(.conflict, reason)
    case SQLITE_CONSTRAINT: return FerryError(.conflict, "\(path): \(reason)")
    case SQLITE_NOTADB, SQLITE_CORRUPT: return FerryError(.invalid, "\(path) is no sound database: \(reason)")
    case SQLITE_READONLY: return FerryError(.precondition, "\(path) cannot be written: \(reason)")
    case SQLITE_BUSY: return FerryError(.retry, "\(path) is locked by another program")
    default: return FerryError(.io, "\(what) \(path): \(reason)")
    }
  }
}

/// A prepared statement. What it shows of a row lives until the next step.
final class Statement {
  private let handle: OpaquePointer
  private unowned let database: Database

  fileprivate init(_ handle: OpaquePointer, _ database: Database) {
    (self.handle, self.database) = (handle, database)
  }

  deinit { sqlite3_finalize(handle) }

  func reset() { sqlite3_reset(handle) }

  /// Whether there is a row.
  func step() throws -> Bool {
    switch sqlite3_step(handle) {
    case SQLITE_ROW: return true
    case SQLITE_DONE:
      sqlite3_reset(handle)
      return false
    default:
      let error = database.error("cannot use")
      sqlite3_reset(handle)
      throw error
    }
  }

  /// Runs it to its end.
  func run() throws { while try step() {} }

  @discardableResult func bind(_ index: Int32, _ value: Int64?) -> Statement {
    if let value { sqlite3_bind_int64(handle, index, value) } else { sqlite3_bind_null(handle, index) }
    return self
  }

  /// Text that lives until the statement has run.
  @discardableResult func bind(_ index: Int32, text: UnsafeRawBufferPointer) -> Statement {
    sqlite3_bind_text(
      handle, index, text.baseAddress.map { $0.assumingMemoryBound(to: CChar.self) } ?? Self.nothing, Int32(text.count), nil)
    return self
  }

  /// Bytes that live until the statement has run.
  @discardableResult func bind(_ index: Int32, blob: UnsafeRawBufferPointer) -> Statement {
    sqlite3_bind_blob(handle, index, blob.baseAddress ?? UnsafeRawPointer(Self.nothing), Int32(blob.count), nil)
    return self
  }

  @discardableResult func bind(_ index: Int32, _ text: String?) -> Statement {
    guard let text else { return bind(index, nil as Int64?) }
    sqlite3_bind_text(handle, index, text, -1, Self.copied)
    return self
  }

  @discardableResult func bind(_ index: Int32, bytes: [UInt8]) -> Statement {
    sqlite3_bind_blob(handle, index, bytes, Int32(bytes.count), Self.copied)
    return self
  }

  func int(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }
  func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

  func bytes(_ column: Int32) -> UnsafeRawBufferPointer {
    let start = sqlite3_column_blob(handle, column)
    return UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(handle, column)))
  }

  func text(_ column: Int32) -> String { String(decoding: bytes(column), as: UTF8.self) }

  private static let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
  nonisolated(unsafe) private static let nothing: UnsafePointer<CChar> = UnsafePointer(UnsafeMutablePointer<CChar>.allocate(capacity: 1))
}
