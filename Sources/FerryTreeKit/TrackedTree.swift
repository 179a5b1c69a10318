import FerryPluginKit
import FerryTree

/// The sending end of a tree, with what watches the tree between passes, so that later ones look only at what changed.
///
/// The first pass of a process looks at everything, and so does one that finds another folder in the place of the one that was watched.
public final class TrackedTree {
  private let context: ProviderContext
  private let root: String
  private let sender: TreeSender
  private var watch: (tracker: ChangeTracker, folder: FileIdentity?)?
  /// Whether changes are watched for; without, each pass looks at all metadata.
  public var isTracked = true
  /// May be set anew for each call, all but the form.
  public var options: TreeOptions {
    get { sender.options }
    set { sender.options = newValue }
  }

  /// The tree at `root`; what is known of it is kept in the folder `state`.
  public init(_ context: ProviderContext, root: String, state: String, options: TreeOptions) throws {
    self.context = context
    self.root = root
    sender = try TreeSender(root: root, state: state, options: options)
  }

  /// Sends what changed since the last pass.
  public func send(_ pass: Pass) throws -> TreeReport {
    let report = try sender.send(
      TreePass(number: pass.number, isFinal: pass.isFinal, changes: changes(isFinal: pass.isFinal)), on: pass.channels)
    if let first = report.unread.first { context.log(.warning, "\(report.unread.count) entries could not be read: \(first)") }
    return report
  }

  /// What changed since the last pass; nil if nobody looked. From here on no change goes unseen.
  private func changes(isFinal: Bool) throws -> TreeChanges? {
    guard isTracked else { return nil }
    let folder = try TreeFolder(root: root).entry([])?.identity
    guard let tracker = watch?.tracker, watch?.folder == folder else {
      stop()
      // After the final pass nobody asks any more.
      if !isFinal { try begin(folder) }
      return nil
    }
    var changes = tracker.drain()
    // A service that is frozen rather than stopped still holds its files, and nothing tells of what it wrote through maps. While it runs
    // there is no need to ask: what is held now is held in the end as well, or was closed, and that is told.
    if isFinal, changes.isComplete { changes = changes.union(try openFiles()) }
    if !changes.isComplete { context.log(.info, "not all changes of \(root) were seen: everything is looked at \(tracker.reason)") }
    return changes
  }

  private func begin(_ folder: FileIdentity?) throws {
    let tracker = try ChangeTracker(root: root)
    context.log(
      tracker.reason.isEmpty ? .debug : .info, "changes of \(root) are learned of by \(tracker.method.rawValue) \(tracker.reason)")
    watch = (tracker, folder)
  }

  private func openFiles() throws -> TreeChanges {
    var open = try OpenFiles(below: root)
    // Other processes rename their files while they are looked for.
    for _ in 0..<3 where open.unplaced > 0 { open = try OpenFiles(below: root) }
    return open.changes
  }

  /// What the tree is; a listing is made by looking alone.
  public func digest(_ request: DigestRequest, listing: String? = nil) throws -> TreeDigest.Result {
    try sender.digest(.init(request.depth), algorithm: .init(request.algorithm), listing: request.depth == .tracked ? nil : listing)
  }

  /// Watches no more.
  public func stop() {
    watch?.tracker.stop()
    watch = nil
  }
}
