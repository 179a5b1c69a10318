import CMariaDB
import FerryPluginKit
import Glibc

/// Files with certificates, as PEM.
struct TLSFiles: Codable, Equatable {
  var ca: String?
  var cert: String?
  var key: String?
}

/// Where a MySQL protocol is spoken, and as whom.
struct SQLAddress {
  var host: String
  var port: Int
  var user: String
  var password: String
  var tls: TLSFiles?
  /// For a statement's answer. BACKUP and RESTORE answer when they are done.
  var patience: Duration = .seconds(120)
}

/// A row; columns are found by name, whatever their order and case, since TiDB's versions differ in both.
struct SQLRow {
  let values: [String: String?]

  func optional(_ name: String) -> String? { values[name.lowercased()] ?? nil }

  func text(_ name: String) throws -> String {
    guard let value = optional(name) else {
      throw FerryError(.unsupported, "the server's answer has no column '\(name)', only \(values.keys.sorted().joined(separator: ", "))")
    }
    return value
  }

  func number(_ name: String) throws -> Int64 {
    let text = try text(name)
    guard let number = Int64(text) else { throw FerryError(.unsupported, "column '\(name)' holds '\(text)', which is no number") }
    return number
  }
}

/// One session of the MySQL protocol, through libmariadb. What is set in it stays set: there is no pool.
final class SQLConnection: @unchecked Sendable {
  private let handle: UnsafeMutablePointer<MYSQL>
  private let place: String
  private let secrets: Secrets

  init(_ address: SQLAddress, secrets: Secrets) throws {
    guard let handle = mysql_init(nil) else { throw FerryError(.io, "there is no memory for a connection") }
    self.handle = handle
    self.secrets = secrets
    place = "\(address.host):\(address.port)"
    func set(_ option: mysql_option, _ value: UInt32) {
      var value = value
      mysql_options(handle, option, &value)
    }
    set(MYSQL_OPT_CONNECT_TIMEOUT, 20)
    set(MYSQL_OPT_READ_TIMEOUT, UInt32(clamping: address.patience.components.seconds))
    set(MYSQL_OPT_WRITE_TIMEOUT, 60)
    // A server must not be able to read files of this node.
    set(MYSQL_OPT_LOCAL_INFILE, 0)
    mysql_options(handle, MYSQL_SET_CHARSET_NAME, "utf8mb4")
    if let tls = address.tls {
      mysql_ssl_set(handle, tls.key, tls.cert, tls.ca, nil, nil)
      var yes: my_bool = 1
      mysql_options(handle, MYSQL_OPT_SSL_ENFORCE, &yes)
      mysql_options(handle, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes)
    }
    guard
      mysql_real_connect(handle, address.host, address.user, address.password, nil, UInt32(address.port), nil, 0) != nil
    else { throw failure("cannot connect as \(address.user)") }
  }

  deinit { mysql_close(handle) }

  /// The rows of one statement.
  @discardableResult func query(_ statement: String) throws -> [SQLRow] {
    let failed = statement.utf8CString.withUnsafeBufferPointer { mysql_real_query(handle, $0.baseAddress, UInt($0.count - 1)) }
    guard failed == 0 else { throw failure("'\(Self.verb(statement))' failed") }
    guard let result = mysql_store_result(handle) else {
      guard mysql_field_count(handle) == 0 else { throw failure("'\(Self.verb(statement))' gave no answer") }
      return []
    }
    defer { mysql_free_result(result) }
    let count = Int(mysql_num_fields(result))
    guard let fields = mysql_fetch_fields(result) else { return [] }
    let names = (0..<count).map { String(cString: fields[$0].name).lowercased() }
    var rows: [SQLRow] = []
    while let row = mysql_fetch_row(result) {
      guard let lengths = mysql_fetch_lengths(result) else { break }
      var values: [String: String?] = [:]
      for index in 0..<count {
        let value = row[index].map { bytes in
          String(decoding: UnsafeRawBufferPointer(start: bytes, count: Int(lengths[index])), as: UTF8.self)
        }
        values.updateValue(value, forKey: names[index])
      }
      rows.append(SQLRow(values: values))
    }
    guard mysql_errno(handle) == 0 else { throw failure("the answer to '\(Self.verb(statement))' was cut off") }
    return rows
  }

  /// The one row that a statement answers with.
  func row(_ statement: String) throws -> SQLRow {
    guard let row = try query(statement).first else {
      throw FerryError(.unsupported, "'\(Self.verb(statement))' answered no row at \(place)")
    }
    return row
  }

  /// The number of this session, for KILL.
  func identifier() throws -> Int64 { try row("SELECT CONNECTION_ID() AS id").number("id") }

  private func failure(_ what: String) -> FerryError {
    let number = mysql_errno(handle)
    let words = secrets.scrub(String(cString: mysql_error(handle)))
    let kind: ErrorClass =
      switch number {
      case 1045, 1044, 1698, 1227, 1142: .auth
      case 1064, 1231: .invalid
      case 1193: .notFound
      case 9006, 1836: .precondition
      case 2000..<3000: .retry
      default: .io
      }
    return FerryError(kind, "\(what) at \(place): \(words) (\(number))", code: "sql-\(number)")
  }

  /// What may be shown of a statement: its first words. The rest may hold a key or a password.
  private static func verb(_ statement: String) -> String {
    statement.prefix { $0 != "'" && $0 != "\n" }.split(separator: " ").prefix(4).joined(separator: " ")
  }

  /// A text literal.
  static func quote(_ text: String) -> String {
    var quoted = "'"
    for character in text.unicodeScalars {
      if character == "'" || character == "\\" { quoted.unicodeScalars.append("\\") }
      quoted.unicodeScalars.append(character)
    }
    return quoted + "'"
  }

  /// A name.
  static func name(_ text: String) -> String { "`\(text.replacing("`", with: "``"))`" }
}

extension FerryError {
  /// Whether a statement failed with this number.
  func isSQL(_ number: Int) -> Bool { code == "sql-\(number)" }
}
