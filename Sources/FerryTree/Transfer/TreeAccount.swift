import FerrySystem
import Glibc

/// Comes to a tree's digest: the sum of its leaves, and of one more for each file with several names, with their count.
struct TreeAccount {
  let path: String
  let options: TreeOptions
  /// What is known of the tree, and which names are one file.
  var index: TreeIndex?
  var links = TreeLinks()
  /// Whether the index is what is there by all that was heard since.
  var isCurrent = true

  func digest(_ depth: TreeDigestDepth, algorithm: HashAlgorithm, listing: String?) throws -> TreeDigest.Result {
    // Another algorithm's leaves are nowhere gathered: those are the digest of old, over a sorted walk.
    if algorithm != .xxh3 { return try merkle(algorithm, listing) }
    if depth == .tracked, isCurrent, let index {
      var total = index.total
      let shared = links.total
      total.sum += shared.sum
      return Self.result(total.sum, Int64(total.count), total.bytes - shared.repeated)
    }
    let root = try TreeRoot(path, oneFileSystem: options.oneFileSystem)
    let known = depth == .full || root.isMemory && !knowsWrites ? nil : index
    if let listing {
      let walk = try ListingWalk(root, options, known: known, listing: listing)
      return try walk.run()
    }
    let survey = TreeSurvey(root, options, known: known, seed: index?.seed ?? 1, gathers: false)
    try survey.run()
    let total = survey.result
    return Self.result(total.sum, total.count, total.bytes)
  }

  /// Whether all that is written here is written by this end, so that no map can have changed what looks as it did.
  var knowsWrites = false

  static func result(_ sum: TreeLeaf, _ count: Int64, _ bytes: Int64) -> TreeDigest.Result {
    let root = withUnsafeBytes(of: (sum.low.littleEndian, sum.high.littleEndian, count.littleEndian)) { TreeLeaf(of: $0) }
    return TreeDigest.Result(root: root.shown.hex, entries: max(0, count - 1), bytes: bytes, skipped: 0)
  }

  private func merkle(_ algorithm: HashAlgorithm, _ listing: String?) throws -> TreeDigest.Result {
    var merkle = TreeDigest.Options()
    merkle.algorithm = algorithm
    merkle.form = options.form
    merkle.selection = options.selection
    merkle.owners = options.owners
    merkle.listing = listing
    merkle.cancellation = options.cancellation
    merkle.progress = options.progress
    return try TreeDigest.compute(root: path, merkle)
  }
}
