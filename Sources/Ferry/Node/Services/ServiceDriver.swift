import FerrySystem

/// One kind of service, at one end. Every act may be repeated: what is done already is no error.
protocol ServiceDriver: Sendable {
  var context: ServiceContext { get }
  /// What messages call it: `systemd unit web.service`.
  var title: String { get }

  /// Read only: what a person should know before the run.
  func check() throws -> [Notice]
  /// Read only: what undoing a hold and a stop needs; nil if there is no such service here. Throws if it cannot be held.
  func find() throws -> ServiceFound?
  /// Nobody else may start it: not a restart policy, a socket, a timer, the boot.
  func hold(_ found: ServiceFound) throws
  /// Holds it and stops it, however it was started. Returns what a person should know.
  func stop(_ found: ServiceFound) throws -> String
  func release(_ found: ServiceFound) throws
  /// Brings back what starts it and, if `running`, the service.
  func start(_ found: ServiceFound, running: Bool) throws
  /// nil: there is no telling.
  func isRunning() throws -> Bool?
  func health() throws -> ServiceHealth
}

/// One look at a service that was started.
enum ServiceHealth: Sendable, Hashable {
  /// Its own health check says so, or nobody can tell better.
  case healthy
  /// It runs; the same text at the next look means that it did not start anew meanwhile.
  case running(String)
  case waiting(String)
  /// It will not get healthy by itself.
  case failed(String)
}

/// What a driver knows of the service and where it is.
struct ServiceContext: Sendable {
  let run: String
  let side: Side
  let spec: ServiceSpec
  var ferry: FerryProgram?

  /// This end's part of the specification.
  var end: ServiceSpec.Side { side == .source ? spec.source : spec.destination }

  /// Whose service it is at this end, if somebody is named.
  var user: String? { end.user ?? spec.user }

  /// Runs one of the service's commands, or its engine's, as its user and with its environment.
  func command(_ arguments: [String], timeout: Duration) throws -> Command.Outcome {
    let arguments = try CallStep(arguments)?.command(ferry) ?? arguments
    var environment: [String: String?] = (ferry?.environment ?? [:]).mapValues { $0 }
    environment.merge(["FERRY_RUN": run, "FERRY_SIDE": side.rawValue, "FERRY_SERVICE": spec.name]) { $1 }
    for (name, value) in end.environment { environment[name] = value }
    var command = Command(arguments, environment: environment, timeout: timeout)
    command.output = .capture(limit: 4 << 20)
    command.account = try user.map { try Account($0) }
    return try command.run()
  }

  /// Looks again until something is so; false when the time is up.
  func wait(_ limit: Duration, until condition: () throws -> Bool) rethrows -> Bool {
    let deadline = ContinuousClock.now + limit
    var pause = Pause()
    while try !condition() {
      guard ContinuousClock.now < deadline else { return false }
      pause.wait()
    }
    return true
  }

  /// What a service that would not stop leads to.
  func refusedToStop(_ state: String) -> FerryError {
    FerryError(
      .retry, "it did not stop within \(spec.stopTimeout.words)",
      hint: "\(state); Ferry starts again what it stopped; raise 'stop-timeout', or have the service end on its stop signal")
  }
}

extension ServiceContext {
  /// The driver of this service.
  func driver() -> any ServiceDriver {
    switch spec.kind {
    case .command(let stop, let start, let status, let hold, let release):
      CommandService(context: self, stop: stop, start: start, status: status, hold: hold, release: release)
    case .systemd(let unit, let isUsers):
      SystemdService(context: self, name: end.name ?? unit, isUsers: isUsers || user != nil)
    case .podman(let container): ContainerService(context: self, engine: .podman, name: end.name ?? container)
    case .docker(let container): ContainerService(context: self, engine: .docker, name: end.name ?? container)
    }
  }
}

extension Duration {
  /// For messages: `60 s`.
  var words: String {
    let (seconds, rest) = components
    return rest == 0 ? "\(seconds) s" : "\(Double(seconds) + (Double(rest) / 1e16).rounded() / 100) s"
  }
}
