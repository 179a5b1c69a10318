import CCrypto
import CXXHash
import FerrySystem
import Glibc
import Haystack

/// What records are, by their whole content: unlike ids and times of change it cannot be deceived by an edit that left both alone. Alike at both
/// ends, for references are relative and what a clone has of its own is left out.
public struct ContentDigest: Sendable, Hashable {
  /// How content is hashed.
  public enum Algorithm: Sendable { case xxh3, sha256 }
  /// How many records.
  public private(set) var count: Int64 = 0
  /// Their size, packed.
  public private(set) var bytes: Int64 = 0
  private var sum: [UInt64] = [0, 0, 0, 0]
  private let algorithm: Algorithm

  private init(_ algorithm: Algorithm) { self.algorithm = algorithm }

  /// Hexadecimal.
  public var root: String { Self.hex(sum.prefix(algorithm == .sha256 ? 4 : 2)) }

  private static func hex(_ words: some Sequence<UInt64>) -> String {
    words.map { word in
      let text = String(word, radix: 16)
      return String(repeating: "0", count: 16 - text.count) + text
    }.joined()
  }

  private mutating func add(_ record: [UInt8], _ hasher: RecordHasher) -> [UInt64] {
    var words: [UInt64] = [0, 0, 0, 0]
    switch algorithm {
    case .xxh3:
      let hash = record.withUnsafeBytes { XXH3_128bits($0.baseAddress, $0.count) }
      (words[0], words[1]) = (hash.low64, hash.high64)
    case .sha256: words.withUnsafeMutableBytes { _ = hasher.digest(record, into: $0) }
    }
    var carry: UInt64 = 0
    for index in 0..<4 {
      let (first, over) = sum[index].addingReportingOverflow(words[index])
      let (second, beyond) = first.addingReportingOverflow(carry)
      sum[index] = second
      carry = over || beyond ? 1 : 0
    }
    count += 1
    bytes += Int64(record.count)
    return words
  }

  /// Of what a filter matches in the server's store, as a client would have it.
  public static func progenitors(
    _ store: RecordStore, _ filter: Filter, client: String, algorithm: Algorithm = .xxh3, limit: Int = 0, listing: String? = nil
  ) throws -> ContentDigest {
    try compute(algorithm, Relativizer(projects: [store.project, client]), listing) { body in
      var count = 0
      try store.rows(filter, where: "clone_set IS NULL", byID: limit > 0 || listing != nil) {
        guard !CloneForm.isNever($0.tags) else { return true }
        count += 1
        if limit > 0 && count > limit { return false }
        try body($0)
        return true
      }
    }
  }

  /// Of a set's clones.
  public static func clones(
    _ store: RecordStore, _ set: String, algorithm: Algorithm = .xxh3, listing: String? = nil
  ) throws -> ContentDigest {
    try compute(algorithm, Relativizer(projects: [store.project]), listing) { body in
      // By the index of ids: sorting a large set would take its size of memory.
      let which = listing == nil ? "clone_set = ?" : "+clone_set = ? ORDER BY id"
      let rows = try store.database.prepare("SELECT rid, id, clone_mod, tags FROM records WHERE \(which)").bind(1, set)
      while try rows.step() {
        try body(RecordStore.Row(rid: rows.int(0), id: rows.bytes(1), mod: rows.int(2), tags: rows.bytes(3)))
      }
    }
  }

  static func compute(
    _ algorithm: Algorithm, _ relativizer: Relativizer, _ listing: String?, _ rows: ((RecordStore.Row) throws -> Void) throws -> Void
  ) throws -> ContentDigest {
    var digest = ContentDigest(algorithm)
    let hasher = RecordHasher(EVP_sha256())
    var builder = PackedBuilder()
    let lines = try listing.map(IDListing.init)
    try rows { row in
      builder.bytes.removeAll(keepingCapacity: true)
      let id = relativizer.relative(row.id)
      builder.fixed(UInt32(id.count))
      builder.raw(id)
      builder.fixed(row.mod)
      CloneForm.appendRelative(row.tags, relativizer, asDigest: true, to: &builder)
      let hash = digest.add(builder.bytes, hasher)
      try lines?.add(hex(hash.prefix(algorithm == .sha256 ? 4 : 2)), id)
    }
    try lines?.finish()
    return digest
  }
}
