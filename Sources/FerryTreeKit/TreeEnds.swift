import FerryPluginKit
import FerryTree

/// The ends of an item's trees, by number. They live from call to call: what they learned of large files and of changes is in their memory alone.
public final class TreeEnds {
  private let context: ProviderContext
  private var sources: [Int: (root: String, end: TrackedTree)] = [:]
  private var receivers: [Int: (root: String, end: TreeReceiver)] = [:]

  /// Of an instance; none yet.
  public init(_ context: ProviderContext) { self.context = context }

  /// The sending end of the tree at `root`.
  public func source(_ number: Int = 0, at root: String, _ options: TreeOptions) throws -> TrackedTree {
    let options = serving(options)
    if let known = sources[number], known.root == root {
      known.end.options = options
      return known.end
    }
    sources[number]?.end.stop()
    let end = try TrackedTree(context, root: root, state: state(number), options: options)
    sources[number] = (root, end)
    return end
  }

  /// The receiving end of the tree at `root`.
  public func receiver(_ number: Int = 0, at root: String, _ options: TreeOptions) throws -> TreeReceiver {
    let options = serving(options)
    if let known = receivers[number], known.root == root {
      known.end.options = options
      return known.end
    }
    let end = try TreeReceiver(root: root, state: state(number), options: options)
    receivers[number] = (root, end)
    return end
  }

  /// Watches no tree any more.
  public func stop() { for known in sources.values { known.end.stop() } }

  /// With what the running call needs.
  public func serving(_ options: TreeOptions) -> TreeOptions {
    let context = context
    var options = options
    options.cancellation = context.cancellation
    options.progress = { context.progress(bytes: $0, entries: $1) }
    options.notice = { context.log(.info, $0) }
    return options
  }

  private func state(_ number: Int) -> String { "\(context.temporaryFolder)/tree-\(number)" }
}
