import FerrySystem

/// The receiving end of a tree: applies what a stream says, below its root and nowhere else, whatever the stream says.
///
/// It lives as long as its process; what it knows is also below `state`, so that another process goes on from there.
public final class TreeReceiver {
  /// The folder that receives. `state` is a folder of this transfer and end alone; it is made if there is none.
  public init(root: String, state: String, options: TreeOptions) throws {}

  /// Applies one pass.
  public func receive(_ pass: TreePass, on channels: [Int32]) throws -> TreeReport {
    throw FerryError(.unsupported, "trees cannot be received yet")
  }

  /// The digest of the tree as it is (`full`, `sweep`) or as it was received (`tracked`).
  public func digest(_ depth: TreeDigestDepth, algorithm: HashAlgorithm = .xxh3, listing: String? = nil) throws -> TreeDigest.Result {
    throw FerryError(.unsupported, "trees cannot be digested yet")
  }
}
