import FerryEngine
import FerryPluginKit
import FerryTree
import Glibc

/// The digests of the item's volumes as one. Each counts under the name that it has at the destination, which both ends know; a volume whose content
/// is stored elsewhere counts by its definition.
struct VolumeDigest {
  init(request: DigestRequest, folder: String) { (self.request, self.folder) = (request, folder) }

  struct Part {
    var name: String
    var root: String
    var entries: Int64
    var bytes: Int64
    /// A file with one line an entry.
    var listing: String?
    /// One line, where there is no tree.
    var line: String?
  }

  let request: DigestRequest
  /// Where listings of single volumes are kept for a moment.
  let folder: String
  private var algorithm: HashAlgorithm { request.algorithm == .sha256 ? .sha256 : .xxh3 }

  func part(
    _ name: String, _ index: Int, _ compute: (TreeDigestDepth, HashAlgorithm, String?) throws -> TreeDigest.Result
  ) throws -> Part {
    let listing = request.listing.map { _ in "\(folder)/listing-\(index)" }
    let result = try compute(request.isFull ? .full : .sweep, algorithm, listing)
    return Part(name: name, root: result.root, entries: result.entries, bytes: result.bytes, listing: listing)
  }

  func definition(_ name: String, _ volume: EngineVolume) -> Part {
    let root = algorithm.hex(Array(volume.definition.text.utf8))
    return Part(name: name, root: root, entries: 1, bytes: 0, line: "\(root)\t\(name)\n")
  }

  func report(_ parts: [Part]) throws -> DigestReport {
    let sorted = parts.sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
    if let listing = request.listing { try write(sorted, to: listing) }
    let all = sorted.map { "\($0.name)\t\($0.root)\n" }.joined()
    // One volume's digest is the digest, whatever its name.
    let root = sorted.count == 1 ? sorted[0].root : algorithm.hex(Array(all.utf8))
    return DigestReport(root: root, entries: sorted.reduce(0) { $0 + $1.entries }, bytes: sorted.reduce(0) { $0 + $1.bytes })
  }

  private func write(_ parts: [Part], to path: String) throws {
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
  private func copy(_ path: String, to file: Descriptor, _ change: (ArraySlice<UInt8>) -> ArraySlice<UInt8>) throws {
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
