import FerryEngine
import FerryPluginKit
import FerryTree
import FerryTreeKit

/// The digests of the item's volumes as one. Each counts under the name that it has at the destination, which both ends know; a volume whose content
/// is stored elsewhere counts by its definition.
struct VolumeDigest {
  init(request: DigestRequest, folder: String) { (self.request, self.folder) = (request, folder) }

  let request: DigestRequest
  /// Where listings of single volumes are kept for a moment.
  let folder: String
  private var algorithm: HashAlgorithm { HashAlgorithm(request.algorithm) }

  func part(
    _ name: String, _ index: Int, _ compute: (TreeDigestDepth, HashAlgorithm, String?) throws -> TreeDigest.Result
  ) throws -> TreeDigest.Part {
    let listing = request.listing.map { _ in "\(folder)/listing-\(index)" }
    return TreeDigest.Part(name: name, result: try compute(request.isFull ? .full : .sweep, algorithm, listing), listing: listing)
  }

  func definition(_ name: String, _ volume: EngineVolume) -> TreeDigest.Part {
    let root = algorithm.hex(Array(volume.definition.text.utf8))
    return TreeDigest.Part(name: name, result: .init(root: root, entries: 1, bytes: 0), line: "\(root)\t\(name)\n")
  }

  func report(_ parts: [TreeDigest.Part]) throws -> DigestReport {
    DigestReport(try TreeDigest.combine(parts, algorithm: algorithm, listing: request.listing))
  }
}
