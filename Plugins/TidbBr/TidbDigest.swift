import CCrypto
import CXXHash
import FerryPluginKit
import Glibc

/// What the data is, in a form that both clusters compute alike: per table the number of rows and sums over a hash of each row.
///
/// ADMIN CHECKSUM TABLE cannot serve here: its sum holds the table's id, and a read-only source refuses it. This is a SELECT that TiDB
/// spreads over its stores.
struct TidbDigest {
  let context: ProviderContext
  let cluster: TidbCluster
  let comparison: TidbConfig.Comparison
  let algorithm: DigestRequest.Algorithm

  func compute(_ tables: [TableName], databases: [String], listing: String?) throws -> DigestReport {
    var lines = databases.map { (path: "\($0)/", content: "database") }
    var rows: Int64 = 0
    for (index, table) in tables.enumerated() {
      try context.checkCancellation()
      let found = try describe(table)
      rows += found.rows
      lines.append((table.description.replacing(".", with: "/", maxReplacements: 1), found.text))
      context.progress(bytes: 0, of: 0, entries: Int64(index + 1), of: Int64(tables.count))
    }
    return try report(lines, entries: Int64(lines.count) + rows, listing: listing)
  }

  /// For what is no table.
  func compute(_ facts: [String: String], listing: String?) throws -> DigestReport {
    try report(facts.map { ($0.key, $0.value) }, entries: Int64(facts.count), listing: listing)
  }

  private func report(_ lines: [(path: String, content: String)], entries: Int64, listing: String?) throws -> DigestReport {
    let hashed = try lines.sorted { $0.path < $1.path }.map { "\(try hash("\($0.path)\u{0}\($0.content)"))\t\($0.path)" }
    if let listing { try Files.replace(listing, with: Array(hashed.map { $0 + "\n" }.joined().utf8)) }
    return DigestReport(root: try hash(hashed.joined(separator: "\n")), entries: entries, bytes: 0)
  }

  private func describe(_ table: TableName) throws -> (text: String, rows: Int64) {
    guard comparison == .rows else {
      let rows = try cluster.sql.row("SELECT COUNT(*) AS total FROM \(table.sql)").number("total")
      return ("rows \(rows)", rows)
    }
    let columns = try cluster.columns(table)
    // A length before each value, and N for NULL: no two rows give one text.
    let values = columns.map { column in
      let name = SQLConnection.name(column)
      return "IFNULL(CONCAT(LENGTH(\(name)), ':', \(name)), 'N')"
    }
    func part(_ start: Int, _ length: Int) -> String { "CAST(CONV(SUBSTRING(h, \(start), \(length)), 16, 10) AS UNSIGNED)" }
    let row = try cluster.sql.row(
      "SELECT COUNT(*) AS total, BIT_XOR(\(part(1, 16))) AS high, BIT_XOR(\(part(17, 16))) AS low, IFNULL(SUM(\(part(9, 8))), 0) AS summed "
        + "FROM (SELECT MD5(CONCAT(\(values.joined(separator: ", ',', ")))) AS h FROM \(table.sql)) AS hashes")
    let rows = try row.number("total")
    return ("columns \(columns) rows \(rows) \(try row.text("high")) \(try row.text("low")) \(try row.text("summed"))", rows)
  }

  private func hash(_ text: String) throws -> String {
    let bytes = Array(text.utf8)
    var digest: [UInt8]
    switch algorithm {
    case .xxh3:
      let value = bytes.withUnsafeBytes { XXH3_128bits($0.baseAddress, $0.count) }
      digest = [value.high64, value.low64].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) } }
    case .sha256:
      digest = [UInt8](repeating: 0, count: 32)
      var length: UInt32 = 0
      guard EVP_Digest(bytes, bytes.count, &digest, &length, EVP_sha256(), nil) == 1 else { throw FerryError(.internal, "SHA-256 failed") }
    }
    return digest.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
  }
}
