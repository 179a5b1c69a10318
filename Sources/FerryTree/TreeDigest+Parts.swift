import FerrySystem
import Glibc

/// Several trees that count as one.
extension TreeDigest {
  /// One of them.
  public struct Part: Sendable {
    /// The name by which it counts, the same at both ends.
    public var name: String
    /// What was computed of it.
    public var result: Result
    /// A file with one line an entry; it is removed when it has been read.
    public var listing: String?
    /// One line, for what is no tree.
    public var line: String?

    /// A part.
    public init(name: String, result: Result, listing: String? = nil, line: String? = nil) {
      self.name = name
      self.result = result
      self.listing = listing
      self.line = line
    }
  }

  /// The digest of them all, by name; their listings become one, at `listing`. One part's digest is the digest, whatever its name.
  public static func combine(_ parts: [Part], algorithm: HashAlgorithm, listing: String?) throws -> Result {
    let sorted = parts.sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
    if let listing { try write(sorted, to: listing) }
    let all = sorted.map { "\($0.name)\t\($0.result.root)\n" }.joined()
    let root = sorted.count == 1 ? sorted[0].result.root : algorithm.hex(Array(all.utf8))
    func sum(_ number: KeyPath<Result, Int64>) -> Int64 { sorted.reduce(0) { $0 + $1.result[keyPath: number] } }
    return Result(root: root, entries: sum(\.entries), bytes: sum(\.bytes), skipped: sum(\.skipped))
  }

  private static func write(_ parts: [Part], to path: String) throws {
    let file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    for part in parts {
      if let line = part.line { try file.write(Array(line.utf8)) }
      guard let listing = part.listing else { continue }
      defer { unlink(listing) }
      guard parts.count > 1 else { return try copy(listing, to: file) { $0 } }
      try copy(listing, to: file) { line in
        guard let tab = line.firstIndex(of: 9) else { return line }
        let path = line[(tab + 1)...]
        return line[...tab] + Array(part.name.utf8) + (path.elementsEqual([0x2e]) ? [] : [0x2f] + path)
      }
    }
  }

  /// Line by line: a listing may be larger than memory.
  private static func copy(_ path: String, to file: Descriptor, _ change: (ArraySlice<UInt8>) -> ArraySlice<UInt8>) throws {
    let input = try Descriptor.open(path, O_RDONLY)
    var rest: [UInt8] = []
    while case let more = try input.read(upTo: 1 << 18), !more.isEmpty {
      rest += more
      guard let end = rest.lastIndex(of: 10) else { continue }
      try file.write(rest[..<end].split(separator: 10, omittingEmptySubsequences: false).flatMap { Array(change($0)) + [10] })
      rest.removeFirst(end + 1)
    }
  }
}
