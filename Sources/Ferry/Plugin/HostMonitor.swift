import FerrySystem
import Glibc

/// Watches one host process: its end, a call that stalls, a cancellation that is not obeyed.
final class HostMonitor: Sendable {
  /// Why a host was ended by this side.
  enum Cause: Sendable { case stalled, cancelled, disconnected, ended }

  struct Ending: Sendable {
    /// nil: it ended by itself.
    var cause: Cause?
    /// The exit code, or 128 + the signal.
    var code: Int32

    /// How it ended, for people.
    var words: String {
      if code < 128 { return "ended its host process with exit code \(code)" }
      return "was ended by \(HostMonitor.signalName(code - 128))"
    }
  }

  private struct Call {
    var number: Int
    var lastWord = ContinuousClock.now
    var cancelledUntil: ContinuousClock.Instant?
  }
  private struct State {
    var calls = 0
    var call: Call?
    var isEnding = false
    var cause: Cause?
    var isOver = false
    var ending: Ending?
  }

  /// How long a cancelled call may take to return.
  private static let grace = Duration.seconds(10)

  private let process: ChildProcess
  private let exit: Descriptor
  private let stall: Duration
  private let wake: (read: Descriptor, write: Descriptor)
  private let ended = Signal()
  private let state = Lock(State())

  init(_ process: ChildProcess, stall: Duration) throws {
    self.process = process
    self.stall = stall
    do {
      exit = try process.exitDescriptor()
      wake = try Descriptor.pipe()
    } catch {
      process.signalGroup(SIGKILL)
      process.wait()
      throw error
    }
  }

  func start() { Threads.detach { self.watch() } }

  var isAlive: Bool { state.withLock { !$0.isOver && $0.cause == nil } }

  var isEnding: Bool { state.withLock { $0.isEnding } }

  /// The number of a new call, or nil if none may begin.
  func beginCall() -> Int? {
    defer { stir() }
    return state.withLock { state in
      guard state.call == nil, !state.isEnding, !state.isOver, state.cause == nil else { return nil }
      state.calls += 1
      state.call = Call(number: state.calls)
      return state.calls
    }
  }

  func endCall() { state.withLock { $0.call = nil } }

  /// Whether the end may be an orderly one; no call begins any more.
  func beginEnd() -> Bool {
    state.withLock { state in
      defer { state.isEnding = true }
      return state.call == nil && !state.isEnding
    }
  }

  /// The provider has said how far it is.
  func touch() { state.withLock { $0.call?.lastWord = .now } }

  /// The number of the call to cancel, if one is running; from now on its time is short.
  func cancel() -> Int? {
    defer { stir() }
    return state.withLock { state in
      if state.call?.cancelledUntil == nil { state.call?.cancelledUntil = .now + Self.grace }
      return state.call?.number
    }
  }

  /// The number of the call that runs.
  var running: Int? { state.withLock { $0.call?.number } }

  /// Kills the process and its group; the first cause counts.
  func kill(_ cause: Cause) {
    state.withLock { state in
      // Reaped already: the number may be somebody else's.
      guard !state.isOver else { return }
      if state.cause == nil { state.cause = cause }
      process.signalGroup(SIGKILL)
    }
  }

  /// Waits until the process is gone with all that it started.
  @discardableResult func waitForEnd() -> Ending {
    ended.wait()
    ended.raise()
    return state.withLock { $0.ending } ?? Ending(code: 0)
  }

  func isOver(within duration: Duration) -> Bool {
    guard ended.wait(atMost: duration) else { return false }
    ended.raise()
    return true
  }

  private func stir() { try? wake.write.write([0]) }

  private func watch() {
    while true {
      let timeout =
        state.withLock { state in state.call.map { deadline(of: $0) } }.map { ContinuousClock.now.duration(to: $0).inMilliseconds } ?? -1
      var states = [
        pollfd(fd: exit.number, events: Int16(POLLIN), revents: 0), pollfd(fd: wake.read.number, events: Int16(POLLIN), revents: 0),
      ]
      _ = poll(&states, 2, timeout)
      if states[0].revents != 0 { break }
      if states[1].revents != 0 { _ = try? wake.read.read(upTo: 4096) }
      let late: Cause? = state.withLock { state in
        guard let call = state.call, deadline(of: call) <= .now else { return nil }
        return call.cancelledUntil == nil ? .stalled : .cancelled
      }
      if let late { kill(late) }
    }
    reap()
  }

  private func deadline(of call: Call) -> ContinuousClock.Instant { call.cancelledUntil ?? call.lastWord + stall }

  private func reap() {
    // Not reaped yet: the number still means this session, and what it left behind can be found by it.
    process.signalGroup(SIGKILL)
    Sessions.killMembers(of: process.pid)
    state.withLock { state in
      state.isOver = true
      let code = process.wait()
      var cause = state.cause
      // Cancelled, and it ended by itself or by its host: that is what was asked for.
      if cause == nil || cause == .disconnected, state.call?.cancelledUntil != nil { cause = .cancelled }
      state.ending = Ending(cause: cause, code: code)
    }
    ended.raise()
  }

  /// The name of a signal as people write it.
  static func signalName(_ number: Int32) -> String {
    let names = [
      SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL", SIGTRAP: "SIGTRAP", SIGABRT: "SIGABRT", SIGBUS: "SIGBUS",
      SIGFPE: "SIGFPE", SIGKILL: "SIGKILL", SIGSEGV: "SIGSEGV", SIGPIPE: "SIGPIPE", SIGALRM: "SIGALRM", SIGTERM: "SIGTERM",
      SIGXCPU: "SIGXCPU", SIGXFSZ: "SIGXFSZ", SIGSYS: "SIGSYS",
    ]
    return names[number] ?? "signal \(number)"
  }
}
