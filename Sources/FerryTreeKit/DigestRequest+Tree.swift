import FerryPluginKit
import FerryTree

/// What a provider that moves trees answers a request for a digest with.
extension DigestRequest {
  /// A tree that counts.
  public struct Tree: Sendable {
    var name: String
    var root: String
    var selection: TreeSelection?

    /// One of several counts by its name, which is the same at both ends. Without a selection everything below the root counts.
    public init(_ root: String, name: String = "", selection: TreeSelection? = nil) {
      self.name = name
      self.root = root
      self.selection = selection
    }
  }

  /// The digest of these trees, as one. What files hashed to is remembered in the item's folder, so that the next digest reads only what changed.
  public func compute(_ trees: [Tree], form: TreeForm, owners: (any OwnerMapping)? = nil, _ context: ProviderContext) throws -> DigestReport
  {
    let parts = try trees.enumerated().map { index, tree in
      var options = TreeDigest.Options()
      options.algorithm = HashAlgorithm(algorithm)
      options.form = form
      options.selection = tree.selection
      options.owners = owners
      options.cache = DigestCache(
        path: "\(context.temporaryFolder)/digests\(index == 0 ? "" : "-\(index)")", algorithm: options.algorithm, form: form)
      options.trustsCache = !isFull
      options.listing = listing.map { _ in "\(context.temporaryFolder)/listing-\(index)" }
      options.cancellation = context.cancellation
      options.progress = { context.progress(bytes: $0, entries: $1) }
      return TreeDigest.Part(name: tree.name, result: try TreeDigest.compute(root: tree.root, options), listing: options.listing)
    }
    return DigestReport(try TreeDigest.combine(parts, algorithm: HashAlgorithm(algorithm), listing: listing))
  }
}

extension HashAlgorithm {
  /// The one that is asked for.
  public init(_ algorithm: DigestRequest.Algorithm) { self = algorithm == .sha256 ? .sha256 : .xxh3 }
}

extension DigestReport {
  /// A tree's.
  public init(_ result: TreeDigest.Result) { self.init(root: result.root, entries: result.entries, bytes: result.bytes) }
}
