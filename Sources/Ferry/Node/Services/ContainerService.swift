import FerrySystem

/// A container of Docker or Podman.
///
/// Held means that its restart policy is `no`, so that neither the engine nor a reboot brings it back. Podman before 5.1
/// cannot change a policy: there, what a reboot would do is named by `check`.
struct ContainerService: ServiceDriver {
  enum Engine: String, Sendable { case podman, docker }

  let context: ServiceContext
  let engine: Engine
  let name: String

  var title: String { "\(engine.rawValue) container \(name)" }

  func check() throws -> [Notice] {
    guard let state = try inspect() else {
      return [
        context.side == .source
          ? Notice(.error, "there is no such container", hint: "\(engine.rawValue) ps --all lists what there is")
          : Notice(.warning, "there is no such container yet: starting it fails unless one of the items makes it")
      ]
    }
    var notices: [Notice] = []
    if let obstacle = obstacle(state) { notices.append(Notice(.error, obstacle.message, hint: obstacle.hint)) }
    if state.isRunning && context.side == .destination {
      notices.append(Notice(.warning, "it runs at the destination already", hint: "\(engine.rawValue) stop \(name)"))
    } else if !state.isRunning && context.side == .source {
      notices.append(Notice(.info, "it does not run: it is held down and left stopped"))
    }
    guard state.policy != "no" else { return notices }
    if try canChangePolicy() {
      notices.append(Notice(.info, "its restart policy '\(state.policy)' is switched off while it is held"))
    } else if try restartsAtBoot(state.policy) {
      notices.append(
        Notice(
          .warning, "a reboot while it is held would start it: this Podman cannot change its restart policy '\(state.policy)'",
          hint: "disable podman-restart.service until the run has ended, or use Podman 5.1 or later"))
    }
    return notices
  }

  func find() throws -> ServiceFound? {
    guard let state = try inspect() else { return nil }
    if let obstacle = obstacle(state) { throw obstacle }
    return ServiceFound(ran: state.isRunning, restartPolicy: state.policy)
  }

  func hold(_ found: ServiceFound) throws { if found.restartPolicy != "no" { try set(policy: "no") } }

  func stop(_ found: ServiceFound) throws -> String {
    try hold(found)
    guard try inspect()?.isRunning == true else { return "" }
    let limit = context.spec.stopTimeout
    let began = ContinuousClock.now
    // The engine sends the container's own stop signal, and kills it when the time is up.
    let outcome = try engine(["stop", "--time", "\(max(1, limit.components.seconds))", name], timeout: limit + .seconds(60))
    guard outcome.succeeded else { throw failure("stop", outcome) }
    let took = ContinuousClock.now - began
    var state: State?
    let isDown = try context.wait(.seconds(10)) {
      state = try inspect()
      return state?.isRunning != true
    }
    guard isDown else { throw context.refusedToStop("`\(engine.rawValue) stop` ended, but it still runs") }
    if took >= limit, state?.exitCode == 137 { throw context.refusedToStop("it was killed and is held") }
    return ""
  }

  func release(_ found: ServiceFound) throws {
    if let policy = found.restartPolicy, policy != "no" { try set(policy: policy) }
  }

  func start(_ found: ServiceFound, running: Bool) throws {
    // One that runs is no error to the engine.
    guard running else { return }
    let outcome = try engine(["start", name], timeout: context.spec.startTimeout)
    guard outcome.succeeded else { throw failure("start", outcome) }
  }

  func isRunning() throws -> Bool? { try inspect()?.isRunning ?? false }

  func health() throws -> ServiceHealth {
    guard let state = try inspect() else { return .failed("there is no such container") }
    if state.status == "exited" || state.status == "dead" {
      return .failed("it ended with exit code \(state.exitCode); `\(engine.rawValue) logs \(name)` says why")
    }
    guard state.isRunning else { return .waiting("it is \(state.status)") }
    guard let health = state.health else { return .running(state.startedAt) }
    if try health == "healthy" || passes(state.check) { return .healthy }
    return .waiting("its health check says '\(health)'")
  }

  /// Why this container cannot be held or brought back.
  private func obstacle(_ state: State) -> FerryError? {
    if let unit = state.labels["PODMAN_SYSTEMD_UNIT"] {
      return FerryError(
        .precondition, "the systemd unit \(unit) runs it and would start it again", hint: "name the unit: `- systemd: \(unit)`")
    }
    if let service = state.labels["com.docker.swarm.service.name"] {
      return FerryError(
        .unsupported, "it belongs to the swarm service \(service), which would start another",
        hint: "use a `command` service with `docker service scale \(service)=0`")
    }
    if state.removesItself {
      return FerryError(
        .precondition, "it was made with --rm: stopping it would remove it and its anonymous volumes", hint: "make it anew without --rm")
    }
    return nil
  }
}
