import FerrySystem

/// The destination's way: inactive → activating → starting → active, and back as far as it goes.
extension NodeSession {
  /// Both ends agree on these roots. Kept here before the seal: a person may have to act on them alone.
  func noteProven(_ roots: [String: String]) throws {
    try exclusively { held in
      try held.require(.inactive, to: "note the proof of")
      try held.update { $0.verified = roots }
    }
  }

  /// Gives what was received its real names. Nothing may serve it yet.
  func activate() throws {
    try exclusively { held in
      try held.require(.inactive, .activating, to: "activate")
      try held.update { $0.state = .activating }
      try services.hold()
      try callAll(.activate)
    }
  }

  /// Lifts the holds without starting anything: hooks are about to make what was received ready.
  func letGo() throws {
    try exclusively { held in
      try held.require(.activating, to: "let go of the services of")
      try services.letGo()
    }
  }

  /// Starts the services. That they may have accepted work is on disk before the first of them can. Answers for how long all have been up.
  @discardableResult func start() throws -> Duration {
    try exclusively { held in
      try held.require(.activating, .starting, .active, to: "start")
      guard held.record.state != .active else { return .zero }
      try held.update { $0.state = .starting }
      let up = try services.start()
      try held.update { $0.state = .active }
      return up
    }
  }

  /// Undoes `activate`: what was there before is back.
  func deactivate(evenIfStarted: Bool) throws {
    try exclusively { held in
      try held.require(.inactive, .activating, .starting, .active, .renounced, to: "deactivate")
      switch held.record.state {
      case .inactive, .renounced: return
      case .starting, .active:
        guard evenIfStarted || held.record.state == .starting || services.isEmpty else { throw Self.mayLose(record.run) }
        try services.stop()
        // A service that never got healthy has accepted nothing if its state is to the bit what was received; so has nobody.
        guard try evenIfStarted || isUntouched() else { throw Self.mayLose(record.run) }
      // A hook may have started one.
      default: if try services.mayRun { try services.stop() }
      }
      try callAll(.deactivate, reversed: true)
      try services.release()
      try held.update { $0.state = .inactive }
    }
  }

  private static func mayLose(_ run: String) -> FerryError {
    FerryError(
      .conflict, "the destination has started services on run \(run)'s state: going back may lose what they accepted",
      hint: "`ferry resume \(run)` goes forward; `ferry rollback \(run) --discard-destination-writes` goes back all the same")
  }

  /// Confirms, durably, that this end is inactive and stays so. Answers the epoch that confirmed it.
  func renounce() throws -> Int {
    try exclusively { held in
      try held.require(.inactive, .renounced, to: "renounce")
      try held.update { $0.state = .renounced }
      return held.record.epoch
    }
  }

  /// What was received is what was proven equal, or nothing is activated. For a person who acts without the controller.
  func proveReceived() throws {
    for item in record.items {
      let arguments: JSONValue = [
        "offer": record.offers[item.name] ?? [:], "target": .string(record.state == .activating ? "active" : "staged"),
        "algorithm": .string(record.digestAlgorithm.rawValue),
      ]
      let root = try call(.digest, item.name, flags: .fullDigest, arguments: arguments)["root"]?.string
      guard let proven = record.verified[item.name], proven == root else {
        throw FerryError(
          .precondition,
          "'\(item.name)' was not proven equal to its source: its root is \(root ?? "none"), proven was \(record.verified[item.name] ?? "none")",
          hint: "nothing was activated")
      }
    }
  }

  /// Whether all items are still exactly what was proven equal.
  func isUntouched() throws -> Bool {
    guard let latest = try surroundings.store.record(record.run, record.side) else { return false }
    return try latest.items.allSatisfy { item in
      guard let root = latest.verified[item.name], let offer = latest.offers[item.name] else { return false }
      let arguments: JSONValue = ["offer": offer, "target": "active", "algorithm": .string(latest.digestAlgorithm.rawValue)]
      return try call(.digest, item.name, flags: .fullDigest, arguments: arguments)["root"]?.string == root
    }
  }
}

/// Both ends.
extension NodeSession {
  /// Undoes `prepare`; at the destination what was received goes.
  func discard() throws {
    try exclusively { held in
      try held.require(.serving, .inactive, .renounced, to: "discard")
      try callAll(.discard, reversed: true)
      try surroundings.store.unlock(run: record.run, side: record.side)
      try held.update { $0.finished = true }
    }
  }

  /// Lets go of what success no longer needs: trackers, staged files, what activate replaced, the targets' locks.
  func release() throws {
    try exclusively { held in
      try held.require(.serving, .sealed, .retired, .active, to: "release")
      try callAll(.release, reversed: true)
      try surroundings.store.unlock(run: record.run, side: record.side)
      try held.update { $0.finished = true }
    }
  }

  /// Forgets the run here: holds are lifted without starting anything, and its folder goes.
  func finish() throws {
    try exclusively { _ in
      try services.release()
      try surroundings.store.unlock(run: record.run, side: record.side)
    }
    end()
    try Files.remove(folder)
  }
}
