import FerrySystem

/// Hooks around a phase's act, at the controller and at both nodes.
extension RunDriver {
  private static let timeout = Duration.seconds(600)

  /// Runs what stands before or after a phase's act. What hooks say is laid over what later ones see.
  func runHooks(_ point: Hook.Point, _ moment: Hook.Moment) throws {
    for seat in Hook.Seat.allCases {
      let due = hooks.at(point, seat, moment)
      guard !due.isEmpty, isHere(seat) else { continue }
      let step = Step(
        Phase(rawValue: point.rawValue) ?? .activate, act: "\(point.rawValue)-hooks-\(moment.rawValue)", side: Side(rawValue: seat.rawValue)
      )
      let said = try self.step(step) { try run(due, seat, point, failure: nil) }
      hookContext.withLock { $0 = $0.merged(with: said) }
    }
  }

  /// Tells the phase's `failed/` hooks. They notify; that one of them fails changes nothing.
  func runFailedHooks(_ point: Hook.Point, _ failure: FerryError) {
    for seat in Hook.Seat.allCases {
      let due = hooks.at(point, seat, .failed)
      guard !due.isEmpty, isHere(seat) else { continue }
      do { _ = try run(due, seat, point, failure: failure) } catch {
        events.emit(.notice) { $0.text = FerryError.wrap(error).description }
      }
    }
  }

  /// A half of a deferred run has one node.
  private func isHere(_ seat: Hook.Seat) -> Bool { Side(rawValue: seat.rawValue).map { entry.sides.contains($0) } ?? true }

  /// Whatever became of the run: what its hooks have laid out is cleared up. That one of them fails changes nothing any more.
  func runEndedHooks(_ result: RunResult) {
    for seat in Hook.Seat.allCases {
      for moment in [Hook.Moment.before, .after] {
        let due = hooks.at(.ended, seat, moment)
        guard !due.isEmpty, isHere(seat) else { continue }
        do { _ = try run(due, seat, .ended, failure: result.error) } catch {
          events.emit(.notice) { $0.text = FerryError.wrap(error).description }
        }
      }
    }
  }

  /// What hooks said in earlier sessions of this run.
  func restoreHookContext() throws {
    for entry in try journal.steps(id) where entry.step.act.contains("-hooks-") {
      if case .done(let said) = entry.outcome { hookContext.withLock { $0 = $0.merged(with: said) } }
    }
  }

  private func run(_ due: [Hook], _ seat: Hook.Seat, _ point: Hook.Point, failure: FerryError?) throws -> JSONValue {
    let request = HooksRequest(hooks: due, input: input(seat, point, failure), timeout: Self.timeout)
    if let side = Side(rawValue: seat.rawValue) { return try node(side).send(.hooks, request) }
    return try HookRunner(folder: "\(configuration.stateFolder)/runs/\(id)").run(
      request.hooks, input: request.input, environment: FerryProgram(configuration).environment, timeout: request.timeout,
      cancellation: failure == nil ? cancellation : nil
    ) { [events] text in
      events.emit(.log) {
        $0.level = 1
        $0.text = text
      }
    }
  }

  /// JSON on a hook's stdin: what earlier hooks have said, and what the run is.
  private func input(_ seat: Hook.Seat, _ point: Hook.Point, _ failure: FerryError?) -> JSONValue {
    var input = hookContext.withLock { $0 }
    input["run"] = .string(id)
    input["name"] = .string(manifest.name)
    input["mode"] = .string(manifest.mode.rawValue)
    input["phase"] = .string(point.rawValue)
    input["node"] = .string(Side(rawValue: seat.rawValue).map { manifest.node($0).name } ?? seat.rawValue)
    input["items"] = .array(
      manifest.state.map { item in
        [
          "item": .string(item.name), "provider": .string(item.provider), "from": item.config["from"] ?? [:],
          "to": item.config["to"] ?? [:],
        ]
      })
    if let side = Side(rawValue: seat.rawValue), let first = manifest.state.first {
      input["item"] = .string(first.name)
      input["endpoint"] = first.config[side == .source ? "from" : "to"] ?? [:]
    }
    input["parameters"] = .object(manifest.parameters.mapValues { .string($0) })
    if let failure { input["error"] = .string(failure.description) }
    return input
  }
}
