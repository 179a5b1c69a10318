import FerrySystem

/// Keeps what an end knows on disk while a pass runs, now and then, so that another process goes on from what had arrived, not from where
/// the pass began.
final class StateKeeper: Sendable {
  private let state: TreeState
  private let index: TreeIndex
  private let pause: Duration
  private let due: Lock<ContinuousClock.Instant>

  /// The first time after `pause`.
  init(_ state: TreeState, _ index: TreeIndex, every pause: Duration) {
    (self.state, self.index, self.pause) = (state, index, pause)
    due = Lock(.now + pause)
  }

  /// Called often, from any thread. Whoever finds that it is time does it; the longer that takes the longer is the pause, within bounds.
  func tick() {
    let began = ContinuousClock.now
    let isDue = due.withLock { due in
      guard began >= due else { return false }
      due = began + .seconds(1 << 30)
      return true
    }
    guard isDue else { return }
    state.save(index)
    let now = ContinuousClock.now
    due.withLock { $0 = now + max(pause, min(began.duration(to: now) * 20, pause * 100)) }
  }
}
