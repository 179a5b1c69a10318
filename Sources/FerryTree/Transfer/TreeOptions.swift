import FerrySystem

/// What both ends of a tree's transfer agree on, and what is an end's own affair.
public struct TreeOptions: Sendable {
  /// What of a tree is carried and counts; the same at both ends.
  public var form: TreeForm
  /// Which paths are carried: asked by the sender and by a digest at the source; a folder that is left out is not entered. nil: everything.
  public var selection: TreeSelection?
  /// Numbers of owners on this end's disk and in the stream; nil: the same.
  public var owners: (any OwnerMapping)?
  /// Stays on the root's file system (sender). A receiver never leaves it.
  public var oneFileSystem = true
  /// Names of attributes that nothing in the tree may have: the first entry that does ends the pass (sender).
  public var refused: Set<[UInt8]> = []
  /// Bounds on what a stream may ask for (receiver).
  public var limits = TreeLimits()
  /// Threads at each end; a channel is shared by as many as need it.
  public var lanes = 2
  /// How often what an end knows is kept on disk while a pass runs, about.
  public var keeping: Duration = .seconds(10)
  /// Ends a pass or digest early, with `cancelled`.
  public var cancellation: Cancellation?
  /// Told how much of the call is done in all, often, from any thread.
  public var progress: (@Sendable (_ bytes: Int64, _ entries: Int64) -> Void)?
  /// Told what a person should know.
  public var notice: (@Sendable (String) -> Void)?

  /// All defaults.
  public init(form: TreeForm = TreeForm()) { self.form = form }
}

/// Bounds on what a stream may ask for.
public struct TreeLimits: Sendable {
  /// Entries of a whole pass.
  public var entries: Int64 = 1 << 40
  /// The length of a file.
  public var fileSize: Int64 = 1 << 50
  /// The length of all files together.
  public var bytes: Int64 = 1 << 60
  /// Bytes of a path below the root.
  public var path = 1 << 18
  /// Extended attributes of one entry, names and values.
  public var attributes = 1 << 18

  /// The defaults.
  public init() {}
}

/// Owners as they are on a disk and as they are in a stream and in a digest: the ids of a rootless volume are shifted on disk.
public protocol OwnerMapping: Sendable {
  /// The id in the stream for one on disk; nil if it is outside the map.
  func inStream(user: UInt32) -> UInt32?
  /// The id on disk for one in the stream; nil if it is outside the map.
  func onDisk(user: UInt32) -> UInt32?
  /// As for users.
  func inStream(group: UInt32) -> UInt32?
  /// As for users.
  func onDisk(group: UInt32) -> UInt32?
  /// What an attribute is called in the stream that has this name on disk; nil if it does not count.
  func inStream(attribute name: [UInt8]) -> [UInt8]?
  /// What an attribute is called on disk that has this name in the stream.
  func onDisk(attribute name: [UInt8]) -> [UInt8]
}

/// Most maps are of numbers alone.
extension OwnerMapping {
  /// The same.
  public func inStream(attribute name: [UInt8]) -> [UInt8]? { name }
  /// The same.
  public func onDisk(attribute name: [UInt8]) -> [UInt8] { name }
}

/// How far a digest looks itself. All depths have the same result for the same tree.
public enum TreeDigestDepth: String, Sendable, Codable {
  /// What was gathered while the passes ran: nothing is read.
  case tracked
  /// All metadata is read, and the content of what no longer looks as it did when it was gathered.
  case sweep
  /// All is read again.
  case full
}
