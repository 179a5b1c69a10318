import FerrySystem

/// Looking at nodes without leaving anything there, until it is done or somebody no longer wants to know.
final class Visit: Sendable {
  private struct State {
    var isCancelled = false
    var transports: [any NodeTransport] = []
  }
  private let state = Lock(State())

  /// Does the visit's work on a thread of its own; cancelling the task ends it.
  static func run<Value: Sendable>(_ work: @escaping @Sendable (Visit) throws -> Value) async throws -> Value {
    let visit = Visit()
    return try await withTaskCancellationHandler {
      try await Threads.run {
        do { return try work(visit) } catch {
          // What broke after the cancel broke of it.
          guard visit.state.withLock({ $0.isCancelled }) else { throw error }
          throw FerryError(.cancelled, "looking at the nodes was cancelled", hint: "nothing was changed")
        }
      }
    } onCancel: {
      visit.cancel()
    }
  }

  /// A way to a node, from before it is gone: a login may take long.
  func takes(_ transport: any NodeTransport) {
    let isLate = state.withLock { state in
      state.transports.append(transport)
      return state.isCancelled
    }
    if isLate { transport.close() }
  }

  private func cancel() {
    let transports = state.withLock { state in
      state.isCancelled = true
      return state.transports
    }
    // Ending an agent may take a moment, and whoever cancels does not wait.
    Threads.detach { for transport in transports { transport.close() } }
  }
}
