import FerrySystem

extension ServiceDriver {
  /// Waits until the service is healthy by its kind's own measure and by the manifest's probe. Where neither can tell more than that it runs,
  /// the answer is what it looked like: see `awaitSettled`.
  func awaitHealth() throws -> ServiceSeen? {
    let limit = context.spec.healthyTimeout
    let deadline = ContinuousClock.now + limit
    var seen: ServiceSeen?
    var last = "nothing is known"
    let isUp = try context.wait(limit) {
      switch try health() {
      case .healthy: return true
      case .failed(let why): throw unhealthy(why)
      case .waiting(let why): last = why
      case .running(let state):
        seen = ServiceSeen(state: state, since: .now)
        return true
      }
      return false
    }
    guard isUp else { throw unhealthy(last) }
    if context.spec.healthy == nil { return seen }
    try awaitProbe(until: deadline)
    return nil
  }

  /// What merely runs must still run, unrestarted, a second later: a service that dies at once looks well just after its start. Answers since
  /// when it has run.
  func awaitSettled(_ first: ServiceSeen) throws -> ContinuousClock.Instant {
    var seen: ServiceSeen? = first
    var last = "it does not keep running"
    let settled = try context.wait(context.spec.healthyTimeout + ServiceSeen.settling) {
      switch try health() {
      case .healthy: return true
      case .failed(let why): throw unhealthy(why)
      case .waiting(let why): (last, seen) = (why, nil)
      case .running(let state):
        if let seen, seen.state == state { return ContinuousClock.now - seen.since >= ServiceSeen.settling }
        last = "it does not keep running"
        seen = ServiceSeen(state: state, since: .now)
      }
      return false
    }
    guard settled else { throw unhealthy(last) }
    return seen?.since ?? .now
  }

  private func awaitProbe(until deadline: ContinuousClock.Instant) throws {
    guard let probe = context.spec.healthy else { return }
    var last = ""
    let healthy = try context.wait(deadline - .now) {
      let outcome = try context.command(probe, timeout: max(deadline - .now, .seconds(1)))
      last = outcome.reason
      return outcome.succeeded
    }
    guard healthy else { throw unhealthy("the probe `\(probe.joined(separator: " "))` last said: \(last)") }
  }

  private func unhealthy(_ why: String) -> FerryError {
    FerryError(
      .retry, "it did not get healthy within \(context.spec.healthyTimeout.words): \(why)",
      hint: "it was started and is left as it is; raise 'healthy-timeout', or look into its log")
  }
}

/// A service that runs, of which nothing can tell that it is well.
struct ServiceSeen {
  static let settling = Duration.seconds(1)

  /// As its kind says it: the same text at a later look means that it did not start anew meanwhile.
  var state: String
  var since: ContinuousClock.Instant
}
