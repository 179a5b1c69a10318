import FerrySystem

/// Has what was received written to the disk while more is coming, so that the flush at the end of a pass has little left to do.
public final class EarlyFlush: Sendable {
  private struct State {
    var waiting: Int64 = 0
    var isBusy = false
    var isEnded = false
  }

  /// So much in the page cache is worth a flush.
  private static let portion: Int64 = 64 << 20

  private let folder: TreeFolder
  private let state = Lock(State())
  private let due = Signal()
  private let over = Signal()

  /// Of the file system that the folder is on; `end` has to be called.
  public init(_ folder: TreeFolder) {
    self.folder = folder
    Threads.detach { [self] in
      while true {
        due.wait()
        if state.withLock({ $0.isEnded }) { break }
        // What fails now fails again at the end, and is told there.
        try? folder.flush()
        state.withLock { $0.isBusy = false }
      }
      over.raise()
    }
  }

  /// So many bytes more were written, about.
  public func note(_ bytes: Int64) {
    let isDue = state.withLock { state in
      state.waiting += bytes
      guard state.waiting >= Self.portion, !state.isBusy else { return false }
      (state.waiting, state.isBusy) = (0, true)
      return true
    }
    if isDue { due.raise() }
  }

  /// Returns when nothing is being flushed any more.
  public func end() {
    state.withLock { $0.isEnded = true }
    due.raise()
    over.wait()
  }
}
