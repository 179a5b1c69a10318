import FerrySystem

/// The way back: in reverse, each act idempotent, journaled and tried again by itself; one that fails does not stop the others, but a source is
/// unsealed only after its destination has confirmed.
extension RunDriver {
  /// What a person may allow.
  struct Permission: Sendable {
    /// Go back although the destination has served and may have accepted work.
    var discardDestinationWrites = false
    /// Leave what failed where it is.
    var keep = false
  }

  /// Undoes the run; answers what could not be done, each with the command that finishes it.
  func back(_ permission: Permission) throws -> [String] {
    var remaining: [String] = []
    func attempt(_ what: String, _ step: Step, _ act: () throws -> JSONValue) -> Bool {
      var last = FerryError(.internal, what)
      for _ in 0..<3 {
        do {
          try self.step(step, act)
          return true
        } catch { last = FerryError.wrap(error) }
        if last.class == .conflict || last.class == .precondition { break }
      }
      events.emit(.error) { $0.text = "\(what): \(last.description)" }
      remaining.append("\(what): \(last.description)")
      return false
    }

    let sides = entry.sides
    let destinationState = sides.contains(.destination) ? try destination.record().state : .inactive
    let sourceState = sides.contains(.source) ? try source.record().state : .serving
    var inactive = true
    if ![.inactive, .renounced].contains(destinationState) {
      inactive = attempt("take the destination out of service", Step(.activate, act: "deactivate", side: .destination)) {
        try destination.send(.deactivate, DeactivateRequest(evenIfStarted: permission.discardDestinationWrites))
      }
    }
    guard inactive else { return remaining }
    if sourceState == .sealed {
      let confirmed = attempt("have the destination renounce", Step(.seal, act: "renounce", side: .destination)) {
        try destination.send(.renounce)
      }
      guard confirmed else { return remaining }
      _ = attempt("unseal the source and start its services", Step(.seal, act: "unseal", side: .source)) {
        try source.send(.unseal, UnsealRequest(confirmed: true))
      }
    } else if sides.contains(.source) {
      _ = attempt("start the source's services", Step(.quiesce, act: "thaw", side: .source)) { try source.send(.thaw) }
    }
    guard try !sides.contains(.source) || source.record().state == .serving else { return remaining }
    if !permission.keep {
      for side in sides.reversed() where try !node(side).record().finished {
        _ = attempt("clean up the \(side.rawValue)", Step(.prepare, act: "discard", side: side)) { try node(side).send(.discard) }
      }
    }
    return remaining
  }
}
