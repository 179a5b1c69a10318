import FerrySystem

extension ServiceDriver {
  /// Waits until the service is healthy by its kind's own measure and by the manifest's probe.
  ///
  /// What merely runs must still run, unrestarted, a second later: a service that dies at once looks well just after its start. Where the
  /// manifest brings a probe, that tells more than the second, which is part of the outage.
  func awaitHealth() throws {
    let limit = context.spec.healthyTimeout
    let deadline = ContinuousClock.now + limit
    var seen: (state: String, since: ContinuousClock.Instant)?
    var last = "nothing is known"
    let settled = try context.wait(limit + settling) {
      switch try health() {
      case .healthy: return true
      case .failed(let why): throw unhealthy(why)
      case .waiting(let why): (last, seen) = (why, nil)
      case .running(let state):
        if let seen, seen.state == state { return ContinuousClock.now - seen.since >= settling }
        last = "it does not keep running"
        seen = (state, .now)
      }
      return false
    }
    guard settled else { throw unhealthy(last) }
    try awaitProbe(until: deadline)
  }

  private var settling: Duration { context.spec.healthy == nil ? .seconds(1) : .zero }

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
