import FerrySystem

extension ContainerService {
  /// What the engine says of a container; the same words in Docker and Podman.
  struct State {
    let status: String
    let isRunning: Bool
    let exitCode: Int64
    let startedAt: String
    /// Its own health check's word, or nil if it has none.
    let health: String?
    /// The command of its health check.
    let check: [String]
    /// As `--restart` takes it.
    let policy: String
    let labels: [String: String]
    let removesItself: Bool

    init(_ value: JSONValue) {
      let state = value["State"]
      let host = value["HostConfig"]
      status = state?["Status"]?.string ?? ""
      // Between two tries of a restart policy it counts as running: it will be back.
      isRunning = state?["Running"]?.bool == true || status == "restarting" || status == "stopping"
      exitCode = state?["ExitCode"]?.int ?? 0
      startedAt = state?["StartedAt"]?.string ?? ""
      let health = (state?["Health"] ?? state?["Healthcheck"])?["Status"]?.string ?? ""
      self.health = health.isEmpty || health == "none" ? nil : health
      let config = value["Config"]
      let test = config?["Healthcheck"]?["Test"]?.array?.compactMap(\.string) ?? []
      let shell = config?["Shell"]?.array?.compactMap(\.string) ?? []
      check = (test.first == "CMD-SHELL" ? shell.isEmpty ? ["/bin/sh", "-c"] : shell : []) + test.dropFirst()
      let name = host?["RestartPolicy"]?["Name"]?.string ?? ""
      let tries = host?["RestartPolicy"]?["MaximumRetryCount"]?.int ?? 0
      policy = name.isEmpty ? "no" : tries > 0 ? "\(name):\(tries)" : name
      labels = config?["Labels"]?.object?.compactMapValues(\.string) ?? [:]
      removesItself = host?["AutoRemove"]?.bool == true
    }
  }

  /// nil: there is no such container.
  func inspect() throws -> State? {
    let outcome = try engine(["container", "inspect", name], timeout: .seconds(60))
    if outcome.succeeded, let value = try JSONValue(parsing: outcome.output).array?.first { return State(value) }
    guard isAbsent(outcome) else { throw failure("inspect", outcome) }
    return nil
  }

  private func isAbsent(_ outcome: Command.Outcome) -> Bool {
    let errors = outcome.errors.lowercased()
    return errors.contains("no such container") || errors.contains("no such object")
  }

  /// Makes the container's own check now. The engine's first one comes a whole interval after the start, and Podman leaves the looking to
  /// systemd timers, which are not everywhere.
  func passes(_ check: [String]) throws -> Bool {
    if engine == .podman { return try engine(["healthcheck", "run", name], timeout: .seconds(60)).succeeded }
    return try !check.isEmpty && engine(["exec", name] + check, timeout: .seconds(60)).succeeded
  }

  /// Whether this engine can change the restart policy of a container that exists.
  func canChangePolicy() throws -> Bool {
    engine == .docker ? true : try engine(["update", "--help"], timeout: .seconds(60)).output.contains("--restart ")
  }

  func set(policy: String) throws {
    guard try canChangePolicy() else { return }
    let outcome = try engine(["update", "--restart=\(policy)", name], timeout: .seconds(60))
    guard outcome.succeeded || isAbsent(outcome) else { throw failure("update --restart=\(policy)", outcome) }
  }

  /// Whether Podman's own unit starts containers of this policy at boot.
  func restartsAtBoot(_ policy: String) throws -> Bool {
    guard policy == "always" || policy == "unless-stopped" else { return false }
    return ["--system", "--user"].contains { manager in
      (try? context.command(["systemctl", manager, "is-enabled", "podman-restart.service"], timeout: .seconds(30)))?.succeeded == true
    }
  }

  func engine(_ arguments: [String], timeout: Duration) throws -> Command.Outcome {
    try context.command([engine.rawValue] + arguments, timeout: timeout)
  }

  func failure(_ what: String, _ outcome: Command.Outcome) -> FerryError {
    FerryError(
      .io, "`\(engine.rawValue) \(what) \(name)` \(outcome.timedOut ? outcome.reason : "failed, \(outcome.reason)")",
      hint: "try `\(engine.rawValue) inspect \(name)` as this user")
  }
}
