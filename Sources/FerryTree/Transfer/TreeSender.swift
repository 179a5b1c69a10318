import FerrySystem

/// The sending end of a tree: walks it, sends what the receiver does not have, and remembers what it sent.
///
/// It lives as long as its process; what it knows is also in the file `state`, so that another process goes on from there.
public final class TreeSender {
  /// The tree at `root`. `state` is a folder of this transfer and end alone; it is made if there is none.
  public init(root: String, state: String, options: TreeOptions) throws {}

  /// Sends what changed since the last pass. The channels are connected stream sockets; one is enough, and each serves any number of lanes.
  public func send(_ pass: TreePass, on channels: [Int32]) throws -> TreeReport {
    throw FerryError(.unsupported, "trees cannot be sent yet")
  }

  /// The digest of the tree as it is (`full`, `sweep`) or as it was sent (`tracked`).
  public func digest(_ depth: TreeDigestDepth, algorithm: HashAlgorithm = .xxh3, listing: String? = nil) throws -> TreeDigest.Result {
    throw FerryError(.unsupported, "trees cannot be digested yet")
  }
}
