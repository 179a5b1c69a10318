import FerrySystem

/// The services of one run at one end, as the agent drives them.
///
/// Every method may be repeated, by a fresh process too: what was found before anything was changed is on disk before the
/// change, and stays there until it has been undone.
public struct ServiceGroup: Sendable {
  let side: Side
  private let drivers: [any ServiceDriver]
  private let notesPath: String
  private let report: @Sendable (ServiceEvent) -> Void

  /// `folder` is this end's folder in the node's record of the run. A service that is not at this end is left out.
  public init(
    run: String, side: Side, services: [ServiceSpec], folder: String, ferry: FerryProgram? = nil,
    report: @escaping @Sendable (ServiceEvent) -> Void = { _ in }
  ) {
    self.side = side
    drivers = services.map { ServiceContext(run: run, side: side, spec: $0, ferry: ferry) }.filter { $0.end.name != "" }.map { $0.driver() }
    notesPath = "\(folder)/services.json"
    self.report = report
  }

  /// Whether there is none at this end.
  var isEmpty: Bool { drivers.isEmpty }

  /// Read only: what a person should know before the run. An error among the notices means that the run would fail.
  public func check() -> [Notice] {
    let notes = try? ServiceNotes.read(notesPath)
    return drivers.flatMap { driver -> [Notice] in
      // Held by this very run: what can be seen now says nothing of what was there before.
      if notes?.services[driver.context.spec.name]?.found != nil { return [] }
      do {
        return try driver.check().map { Notice($0.severity, "\(place(driver)): \($0.text)", hint: $0.hint) }
      } catch {
        let error = FerryError.wrap(error)
        return [Notice(.error, "\(place(driver)): \(error.message)", hint: error.hint)]
      }
    }
  }

  /// Holds and stops all, from the first to the last. Throws at the first that does not stop in its time: call `start()` then.
  public func stop() throws {
    var notes = try noteAll()
    for driver in drivers {
      let name = driver.context.spec.name
      guard let found = notes.services[name]?.found else { continue }
      let remark = try step(driver, .stopped) { try driver.stop(found) }
      if !remark.isEmpty { report(ServiceEvent(service: name, side: side, act: .warning, detail: remark, seconds: 0)) }
      notes.services[name]?.last = .stopped
      try notes.write(notesPath)
    }
  }

  /// Lifts the holds and starts, in reverse order: at the source those that ran before `stop()`, at the destination all.
  /// Waits until each is healthy; those that have no check are watched together once all are started. At the source one that fails does not
  /// keep the others down. Answers for how long all have been up by now: what was only watched took no part in the outage.
  @discardableResult public func start() throws -> Duration {
    var notes = try ServiceNotes.read(notesPath)
    var failures: [String: FerryError] = [:]
    func attempt(_ driver: any ServiceDriver, _ act: () throws -> Void) throws {
      do { try act() } catch {
        failures[driver.context.spec.name] = FerryError.wrap(error)
        if side == .destination { throw error }
      }
    }
    // All holds first: a unit cannot start while one that it requires is masked.
    for driver in drivers {
      guard let found = notes.services[driver.context.spec.name]?.found else { continue }
      try attempt(driver) { try step(driver, .released) { try driver.release(found) } }
    }
    func conclude(_ driver: any ServiceDriver, running: Bool) throws {
      notes.services[driver.context.spec.name] = .init(found: nil, last: running ? .started : .stopped)
      try notes.write(notesPath)
    }
    var unsettled: [(driver: any ServiceDriver, seen: ServiceSeen)] = []
    for driver in drivers.reversed() {
      let name = driver.context.spec.name
      let found = notes.services[name]?.found
      if failures[name] != nil || (found == nil && side == .source) { continue }
      try attempt(driver) {
        let running = side == .destination || found?.ran == true
        try step(driver, .started) { try driver.start(found ?? ServiceFound(), running: running) }
        guard running else { return try conclude(driver, running: false) }
        let began = ContinuousClock.now
        let seen = try located(driver, .healthy) { try driver.awaitHealth() }
        if let seen { return unsettled.append((driver, seen)) }
        tell(driver, .healthy, since: began)
        try conclude(driver, running: true)
      }
    }
    var up = ContinuousClock.now
    for (driver, seen) in unsettled {
      try attempt(driver) {
        up = max(up, try step(driver, .healthy) { try driver.awaitSettled(seen) })
        try conclude(driver, running: true)
      }
    }
    let errors = drivers.compactMap { failures[$0.context.spec.name] }
    guard let first = errors.first else { return ContinuousClock.now - up }
    throw FerryError(first.class, errors.map(\.message).joined(separator: "; "), hint: first.hint)
  }

  /// Nobody else may start them from now on. A service that does not exist yet is held if its kind can be.
  public func hold() throws {
    let notes = try noteAll()
    for driver in drivers {
      if let found = notes.services[driver.context.spec.name]?.found { try step(driver, .held) { try driver.hold(found) } }
    }
  }

  /// Lifts the holds for others to start what they need; from now on anything may run.
  func letGo() throws {
    var notes = try ServiceNotes.read(notesPath)
    for driver in drivers {
      let name = driver.context.spec.name
      guard let found = notes.services[name]?.found else { continue }
      notes.services[name]?.last = .started
      try notes.write(notesPath)
      try step(driver, .released) { try driver.release(found) }
    }
  }

  /// Whether one of them was started, or let go of, and not stopped since.
  var mayRun: Bool { get throws { try ServiceNotes.read(notesPath).services.values.contains { $0.found != nil && $0.last == .started } } }

  /// Lifts the holds without starting anything.
  public func release() throws {
    var notes = try ServiceNotes.read(notesPath)
    for driver in drivers {
      let name = driver.context.spec.name
      guard let found = notes.services[name]?.found else { continue }
      try step(driver, .released) { try driver.release(found) }
      notes.services[name]?.found = nil
      try notes.write(notesPath)
    }
  }

  /// Whether none of them runs. Of a `command` without `status` it is known what Ferry did last.
  public func isStopped() throws -> Bool {
    let notes = try ServiceNotes.read(notesPath)
    return try drivers.allSatisfy { driver in
      let last = notes.services[driver.context.spec.name]?.last
      let assumed = side == .source ? last != .stopped : last == .started
      do { return try !(driver.isRunning() ?? assumed) } catch { throw located(error, driver, "cannot tell whether it runs") }
    }
  }

  /// All is looked at before anything is touched: stopping one may stop another.
  private func noteAll() throws -> ServiceNotes {
    var notes = try ServiceNotes.read(notesPath)
    var changed = false
    for driver in drivers where notes.services[driver.context.spec.name]?.found == nil {
      do {
        let found = try driver.find()
        if found == nil && side == .source {
          throw FerryError(.notFound, "there is no such service", hint: "it was there at the check; nothing was stopped")
        }
        notes.services[driver.context.spec.name, default: .init()].found = found
      } catch { throw located(error, driver, "cannot be stopped safely") }
      changed = true
    }
    if changed { try notes.write(notesPath) }
    return notes
  }

  private func step<Value>(_ driver: any ServiceDriver, _ act: ServiceEvent.Act, _ body: () throws -> Value) throws -> Value {
    let began = ContinuousClock.now
    let value = try located(driver, act, body)
    tell(driver, act, since: began)
    return value
  }

  private func located<Value>(_ driver: any ServiceDriver, _ act: ServiceEvent.Act, _ body: () throws -> Value) throws -> Value {
    do { return try body() } catch { throw located(error, driver, "was not \(act.rawValue)") }
  }

  private func tell(_ driver: any ServiceDriver, _ act: ServiceEvent.Act, since began: ContinuousClock.Instant) {
    report(
      ServiceEvent(
        service: driver.context.spec.name, side: side, act: act, detail: "", seconds: (ContinuousClock.now - began).inSeconds))
  }

  private func place(_ driver: any ServiceDriver) -> String {
    "service '\(driver.context.spec.name)' (\(driver.title)) at the \(side.rawValue)"
  }

  private func located(_ error: any Error, _ driver: any ServiceDriver, _ what: String) -> FerryError {
    let error = FerryError.wrap(error)
    return FerryError(error.class, "\(place(driver)) \(what): \(error.message)", hint: error.hint)
  }
}
