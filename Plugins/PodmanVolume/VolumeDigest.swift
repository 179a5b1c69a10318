import FerryEngineKit

/// The digests of the item's volumes as one. Each counts under the name that it has at the destination, which both ends know; a volume whose content
/// is stored elsewhere counts by its definition.
struct VolumeDigest {
  let request: DigestRequest
  /// Where listings of single volumes are kept for a moment.
  let folder: String
  private var algorithm: HashAlgorithm { HashAlgorithm(request.algorithm) }

  func part(_ name: String, _ index: Int, _ compute: (_ listing: String?) throws -> TreeDigest.Result) throws -> TreeDigest.Part {
    // What was gathered alone names nothing.
    let listing = request.depth == .tracked ? nil : request.listing.map { _ in "\(folder)/listing-\(index)" }
    return TreeDigest.Part(name: name, result: try compute(listing), listing: listing)
  }

  func definition(_ name: String, _ volume: EngineVolume) -> TreeDigest.Part {
    let root = algorithm.hex(Array(volume.definition.text.utf8))
    return TreeDigest.Part(
      name: name, result: TreeDigest.Result(root: root, entries: 1, bytes: 0, skipped: 0), line: "\(root)\t\(name)\n")
  }

  func report(_ parts: [TreeDigest.Part]) throws -> DigestReport {
    DigestReport(try TreeDigest.combine(parts, algorithm: algorithm, listing: request.depth == .tracked ? nil : request.listing))
  }
}
