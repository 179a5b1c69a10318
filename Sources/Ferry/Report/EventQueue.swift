import CLinux
import FerrySystem
import Glibc

/// Events on their way to whoever pulls them, a thread or a task. Progress that nobody has fetched gives way to newer progress of the same item
/// and end; nothing else is lost.
final class EventQueue: Sendable {
  private struct State {
    /// Those from `first` on are still to be fetched.
    var events: [Event] = []
    var first = 0
    var isOver = false
    var tasks: [Int: CheckedContinuation<Void, Never>] = [:]
    var lastTask = 0

    var isEmpty: Bool { first == events.count }
  }
  private let state = Lock(State())
  /// Readable exactly while there is an event to fetch, or the queue is over.
  private let bell: Descriptor

  init() throws {
    let number = clinux_eventfd()
    guard number >= 0 else { throw FerryError(errno: -number, "cannot make an event descriptor") }
    bell = Descriptor(number)
  }

  var descriptor: Int32 { bell.number }

  func add(_ event: Event) {
    wake { state in
      if event.kind == .progress {
        // Only as far as progress goes back without a break: what happened in between keeps its place.
        var index = state.events.endIndex
        while index > state.first, state.events[index - 1].kind == .progress {
          index -= 1
          guard state.events[index].item == event.item, state.events[index].side == event.side else { continue }
          state.events[index] = event
          return
        }
      }
      if state.isEmpty { ring() }
      state.events.append(event)
    }
  }

  /// No event will be added any more.
  func finish() {
    wake { state in
      state.isOver = true
      ring()
    }
  }

  /// Whether no event is left, and none will come.
  var isOver: Bool { state.withLock { $0.isEmpty && $0.isOver } }

  /// The next event, waiting for it in this thread, at most so long; nil: none came in time, or it is over.
  func next(atMost patience: Duration?) -> Event? {
    let deadline = patience.map { ContinuousClock.now + $0 }
    while true {
      if let answer = take() { return answer.event }
      var state = pollfd(fd: bell.number, events: Int16(POLLIN), revents: 0)
      let left = deadline.map { ContinuousClock.now.duration(to: $0).inMilliseconds } ?? -1
      if poll(&state, 1, left) == 0, deadline.map({ ContinuousClock.now >= $0 }) ?? false { return take()?.event }
    }
  }

  /// The next event; nil: it is over, or the task that asks is cancelled.
  func next() async -> Event? {
    while !Task.isCancelled {
      if let answer = take() { return answer.event }
      let number = state.withLock { state in
        state.lastTask += 1
        return state.lastTask
      }
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let isReady = state.withLock { state in
            if !state.isEmpty || state.isOver || Task.isCancelled { return true }
            state.tasks[number] = continuation
            return false
          }
          if isReady { continuation.resume() }
        }
      } onCancel: {
        state.withLock { $0.tasks.removeValue(forKey: number) }?.resume()
      }
    }
    return nil
  }

  /// An event or the end, if there is one of them now.
  private func take() -> (event: Event?, Void)? {
    state.withLock { state in
      if state.isEmpty { return state.isOver ? (nil, ()) : nil }
      let event = state.events[state.first]
      state.first += 1
      if state.isEmpty {
        state.events.removeAll(keepingCapacity: state.events.capacity <= 1024)
        state.first = 0
        if !state.isOver { silence() }
      }
      return (event, ())
    }
  }

  private func wake(_ change: (inout State) -> Void) {
    let tasks = state.withLock { state in
      change(&state)
      defer { state.tasks = [:] }
      return state.tasks.values
    }
    for task in tasks { task.resume() }
  }

  private func ring() {
    var one: UInt64 = 1
    _ = write(bell.number, &one, 8)
  }

  private func silence() {
    var count: UInt64 = 0
    _ = read(bell.number, &count, 8)
  }
}
