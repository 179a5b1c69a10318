import FerrySystem
import Glibc

/// One session of a run from its lock to its result: drives forward or back, and compensates for what failed.
struct RunSession: Sendable {
  enum Intention: Sendable {
    case forward
    case back(RunDriver.Permission)

    var isBack: Bool { if case .back = self { true } else { false } }
  }

  let configuration: Engine.Configuration
  let journal: any Journal
  let cancellation: Cancellation
  let handler: @Sendable (Event) -> Void

  /// Takes up a run that the journal has.
  func take(_ id: String, _ intention: Intention) throws -> RunResult {
    guard let entry = try journal.run(id) else { throw FerryError(.notFound, "there is no run \(id)", hint: "`ferry history` lists them") }
    let folder = configuration.folder(of: entry.id)
    try Files.makeFolder(folder)
    guard let lock = try FileLock(ifFree: "\(folder)/controller.lock") else {
      let pid = entry.controller.map { " (process \($0.pid))" } ?? ""
      throw FerryError(
        .conflict, "a controller is at work on run \(entry.id)\(pid)",
        hint: "`ferry status \(entry.id) --follow` shows it; `ferry cancel \(entry.id)` ends it")
    }
    defer { lock.unlock() }
    switch entry.status {
    case .done where intention.isBack && entry.receipt?.rollbackUntil != nil:
      // Half undone it is no longer done: both ways are open then.
      try journal.update(entry.id) { $0.status = .running }
    case .done, .undone, .cleaned:
      throw FerryError(
        .precondition, "run \(entry.id) is \(entry.status.rawValue): there is nothing left to do", hint: "`ferry history` lists all runs")
    case .running, .kept, .incomplete: break
    }
    let requests = RunRequests(folder: folder)
    requests.clear(.cancel)
    let driver = try RunDriver(
      configuration: configuration, journal: journal, entry: entry, requests: requests, cancellation: cancellation,
      events: EventSink(run: entry.id, log: "\(folder)/events.jsonl", handler: handler))
    driver.events.emit(.session) { $0.text = entry.manifest.name }
    try driver.restoreHookContext()
    let result: RunResult
    switch intention {
    case .forward: result = try goForward(driver)
    case .back(let permission): result = try goBack(driver, permission, because: nil)
    }
    if result.status != .running { driver.runEndedHooks(result) }
    driver.close()
    // A rollback that was refused has changed nothing.
    let status = entry.status == .done && result.status == .running ? .done : result.status
    try journal.update(entry.id) {
      $0.status = status
      $0.ended = status == .running ? nil : status == entry.status ? $0.ended : wallClock()
      $0.error = result.error
      $0.receipt = result.receipt ?? $0.receipt
      $0.controller = nil
    }
    // A unit that is left would only find that the run is over.
    if ![.running, .incomplete].contains(result.status) { try? RunUnit.installed(entry, configuration)?.remove(stopping: false) }
    driver.fault("run ended")
    driver.events.emit(.ended) {
      $0.text = result.status.rawValue
      $0.seconds = result.receipt?.outage.total
    }
    return result
  }

  private func goForward(_ driver: RunDriver) throws -> RunResult {
    let watcher = CancellationWatcher(driver)
    defer { watcher.end() }
    do {
      return RunResult(run: driver.id, status: .done, exit: .done, receipt: try persistently(driver))
    } catch {
      watcher.end()
      var failure = FerryError.wrap(error)
      if driver.mayMend(failure), driver.manifest.retry == nil, failure.hint.isEmpty {
        failure.hint = "with `retry: 5m` in its manifest a run looks for a lost node again by itself"
      }
      if try journal.steps(driver.id).isEmpty {
        driver.events.emit(.error) { $0.text = failure.description }
        return RunResult(run: driver.id, status: .undone, exit: code(for: failure, in: nil), error: failure)
      }
      return try goBack(driver, RunDriver.Permission(keep: driver.manifest.onFailure == .keep), because: failure)
    }
  }

  /// Goes forward; a node that is lost is looked for again, for as long as `retry:` says. Each attempt is a session of its own: what is true
  /// is read from both nodes' records, so it does not matter where the line was cut.
  private func persistently(_ driver: RunDriver) throws -> Receipt {
    var lost: ContinuousClock.Instant?
    for _ in 0..<(driver.staysForever ? .max : Self.mostAttempts) {
      do {
        try driver.open()
        lost = nil
        return try driver.forward()
      } catch {
        let began = lost ?? .now
        guard let retry = driver.manifest.retry ?? (driver.staysForever ? Self.forever : nil),
          driver.mayMend(FerryError.wrap(error)), began.duration(to: .now) < retry,
          FerryError.wrap(error).class != .cancelled, try !journal.steps(driver.id).isEmpty
        else { throw error }
        lost = began
        let left = retry - began.duration(to: .now)
        driver.events.emit(.notice) {
          $0.text = "\(FerryError.wrap(error).message); trying again, for \(Text.seconds(left.inSeconds)) at most"
        }
        for _ in 0..<10 {
          try driver.throwIfCancelled()
          usleep(100_000)
        }
      }
    }
    throw FerryError(.peer, "a node was lost \(Self.mostAttempts) times", hint: "look into its log, then `ferry resume \(driver.id)`")
  }

  /// What is followed for ever waits for a node as long as that takes.
  private static let forever = Duration.seconds(100 * 365 * 86_400)

  /// A node that comes back only to be lost again at the same place ends the run some time.
  private static let mostAttempts = 100

  /// Compensation is a session of its own, with fresh processes: the same way as `ferry rollback`.
  private func goBack(_ driver: RunDriver, _ permission: RunDriver.Permission, because failure: FerryError?) throws -> RunResult {
    var remaining: [String]
    let phase = driver.current.withLock { $0 }
    do {
      try driver.open()
      if failure != nil, try driver.serves { return resumable(driver, failure) }
      if try driver.isRetired { return resumable(driver, failure ?? Self.tooLate(driver.id)) }
      remaining = try driver.back(permission)
      // What a destination that was being started may have accepted is kept: the way out is forward, or a person's word.
      if try driver.mayHaveAccepted {
        return resumable(driver, failure ?? Self.tooLate(driver.id), remaining)
      }
    } catch {
      let unreachable = FerryError.wrap(error)
      let steps = try journal.steps(driver.id)
      if steps.hasStarted { return resumable(driver, failure ?? unreachable) }
      remaining = (failure?.message == unreachable.message ? [] : [unreachable.description]) + [standing(driver, steps)]
    }
    if remaining.isEmpty {
      return RunResult(run: driver.id, status: permission.keep ? .kept : .undone, exit: code(for: failure, in: phase), error: failure)
    }
    remaining.append("`ferry rollback \(driver.id)` tries the rest again; `ferry node status` on each node tells who owns the state")
    return RunResult(
      run: driver.id, status: .incomplete, exit: .incomplete, error: failure ?? FerryError(.internal, "the run could not be undone"),
      remaining: remaining)
  }

  /// What a person must know of the service when a node cannot be asked: what the journal alone can tell.
  private func standing(_ driver: RunDriver, _ steps: [StepEntry]) -> String {
    let source = driver.manifest.source.name
    // What was intended may have been done; what undoes it counts only if it was.
    let last = steps.last { entry in
      ["quiesce", "seal"].contains(entry.step.act) || (["thaw", "unseal"].contains(entry.step.act) && entry.succeeded)
    }
    switch last?.step.act {
    case "seal":
      return
        "\(source) is sealed and stays down until `ferry resume \(driver.id)` or `ferry rollback \(driver.id)` reaches both nodes; if one of them is gone for good, `ferry node` on the other brings the service up"
    case "quiesce":
      return
        "\(source) is held down; unless it is reached before, its watchdog brings it back within \(Text.seconds(driver.manifest.cutover.watchdog.inSeconds))"
    default: return "\(source) serves"
    }
  }

  private static func tooLate(_ run: String) -> FerryError {
    FerryError(
      .conflict, "run \(run) cannot go back: its destination has taken over, and what it has accepted would be lost",
      hint:
        "`ferry resume \(run)` goes forward; `ferry rollback \(run) --discard-destination-writes` goes back while the source's copy is there"
    )
  }

  private func resumable(_ driver: RunDriver, _ failure: FerryError?, _ remaining: [String] = []) -> RunResult {
    let forward = "the destination has taken over: `ferry resume \(driver.id)` finishes the run"
    return RunResult(run: driver.id, status: .running, exit: .resumable, error: failure, remaining: remaining + [forward])
  }

  private func code(for failure: FerryError?, in phase: Phase?) -> ExitCode {
    guard let failure else { return .done }
    if failure.code == FerryError.notEqual { return .mismatch }
    if failure.code == FerryError.targetLocked { return .locked }
    return switch failure.class {
    case .cancelled: .interrupted
    case .precondition: phase == .check ? .checkFailed : .failed
    case .auth: .auth
    default: .failed
    }
  }
}

extension [StepEntry] {
  /// Whether the destination's services were started, and not stopped again.
  fileprivate var hasStarted: Bool {
    last { $0.succeeded && ["start", "deactivate"].contains($0.step.act) }?.step.act == "start"
  }
}

/// Passes a cancellation on to the nodes, whose calls may be long.
private final class CancellationWatcher: Sendable {
  private let over = Lock(false)

  init(_ driver: RunDriver) {
    let over = over
    Threads.detach {
      while !over.withLock({ $0 }) {
        if driver.cancellation.isCancelled || driver.requests.isPosted(.cancel) {
          // Under the lock: `end` returns only when no interruption can reach the agents of a later session.
          return over.withLock { if !$0 { driver.interrupt() } }
        }
        usleep(100_000)
      }
    }
  }

  func end() { over.withLock { $0 = true } }
}
