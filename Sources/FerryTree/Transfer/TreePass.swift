/// One pass of a tree's transfer. Both ends are given the same.
public struct TreePass: Sendable {
  /// Counts from 0 over the whole transfer, resumed or not.
  public var number: Int
  /// Nobody writes at the source: what vanishes or cannot be read is an error, and the destination is on disk when the pass returns.
  public var isFinal: Bool
  /// What a tracker saw; nil: everything is walked. Only the sender looks at it.
  public var changes: TreeChanges?

  /// A pass.
  public init(number: Int, isFinal: Bool = false, changes: TreeChanges? = nil) {
    self.number = number
    self.isFinal = isFinal
    self.changes = changes
  }
}

/// What a tracker saw since it was last asked. Paths are relative to the tree's root, bytes, empty for the root itself.
public struct TreeChanges: Sendable {
  /// Entries to look at: their content or metadata changed, they appeared or vanished.
  public var entries: Set<[UInt8]>
  /// Entries that are to be scanned with all below them.
  public var subtrees: Set<[UInt8]>
  /// False if the tracker lost count: then everything is walked.
  public var isComplete: Bool

  /// Changes; none unless told.
  public init(entries: Set<[UInt8]> = [], subtrees: Set<[UInt8]> = [], isComplete: Bool = true) {
    self.entries = entries
    self.subtrees = subtrees
    self.isComplete = isComplete
  }

  /// Nothing changed, for sure.
  public var isEmpty: Bool { isComplete && entries.isEmpty && subtrees.isEmpty }

  /// What either saw.
  public func union(_ other: TreeChanges) -> TreeChanges {
    TreeChanges(
      entries: entries.union(other.entries), subtrees: subtrees.union(other.subtrees), isComplete: isComplete && other.isComplete)
  }
}

/// What one end did in a pass.
public struct TreeReport: Sendable, Hashable {
  /// Entries looked at (sender) or applied (receiver).
  public var entries: Int64 = 0
  /// Entries that were sent or applied.
  public var changed: Int64 = 0
  /// Bytes of content that were sent or applied.
  public var bytes: Int64 = 0
  /// Entries that were removed (receiver), or are known to be gone (sender).
  public var removed: Int64 = 0
  /// Entries that went away while the pass ran (sender).
  public var vanished: Int64 = 0
  /// Paths that could not be read (sender, never in a final pass): the first hundred.
  public var unread: [String] = []

  /// Nothing.
  public init() {}
}
