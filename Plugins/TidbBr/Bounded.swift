import FerryPluginKit
import Glibc

/// Waits that end: each has a limit, gives word of itself, and can be cancelled.
struct Bounded {
  let context: ProviderContext
  let limit: Duration
  /// How often the condition is looked at.
  var interval: Duration = .milliseconds(200)

  /// Waits until `look` gives a value.
  @discardableResult func wait<Value>(for what: String, _ look: () throws -> Value?) throws -> Value {
    let deadline = ContinuousClock.now + limit
    var progress: Int64 = 0
    while true {
      try context.checkCancellation()
      if let value = try look() { return value }
      guard ContinuousClock.now < deadline else {
        throw FerryError(
          .retry, "waited \(limit.components.seconds) s in vain for \(what)",
          hint: "`step-limit` is how long a step may take; nothing at the source is lost")
      }
      progress += 1
      context.progress(bytes: 0, entries: progress)
      usleep(UInt32(clamping: Int64(interval.inSeconds * 1_000_000)))
    }
  }
}

/// Says now and then that a call is alive while something else does the work.
final class Heartbeat: Sendable {
  private let over = Signal()
  private let gone = Signal()
  private let ended = Lock(false)

  init(_ context: ProviderContext, every interval: Duration = .seconds(2), also act: @escaping @Sendable () -> Void = {}) {
    let (over, gone) = (over, gone)
    Threads.detach {
      var beats: Int64 = 0
      while !over.wait(atMost: interval) {
        beats += 1
        context.progress(bytes: 0, entries: beats)
        act()
      }
      gone.raise()
    }
  }

  /// Returns when the last beat is over. A second call does nothing.
  func end() {
    let isFirst = ended.withLock { ended in
      defer { ended = true }
      return !ended
    }
    guard isFirst else { return }
    over.raise()
    gone.wait()
  }
}
