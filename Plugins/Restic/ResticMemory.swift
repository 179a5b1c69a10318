import FerryPluginKit

/// What this process has learned of restic and of its repository. Each start of restic derives the key anew, which is slow on purpose: nothing
/// is asked twice. Nothing here decides on anything alone: what has changed since, the next command says.
final class ResticMemory: Sendable {
  private struct State {
    var tool: ResticTool?
    var isThere: Bool?
    var listing: [ResticRepository.Snapshot]?
  }

  private let state = Lock(State())

  /// The restic of this node.
  func tool(_ context: ProviderContext) throws -> ResticTool {
    if let known = state.withLock({ $0.tool }) { return known }
    let found = try ResticTool(context)
    state.withLock { $0.tool = found }
    return found
  }

  /// Whether the password opens the repository, or there is none; nil if nobody has looked.
  var isThere: Bool? {
    get { state.withLock { $0.isThere } }
    set { state.withLock { $0.isThere = newValue } }
  }

  /// What `check` has listed, for the call that follows it.
  func keep(_ listing: [ResticRepository.Snapshot]) { state.withLock { $0.listing = listing } }

  /// It is used once: what is asked for later may have come later.
  func takeListing() -> [ResticRepository.Snapshot]? {
    state.withLock { state in
      defer { state.listing = nil }
      return state.listing
    }
  }
}
