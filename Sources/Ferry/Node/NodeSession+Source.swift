import FerrySystem

/// The source's way: serving → quiesced → sealed → retired, and back as far as it goes.
extension NodeSession {
  /// Holds the services down and freezes the items. The watchdog is armed before the first of them stops.
  func quiesce(watchdog: Duration) throws {
    try exclusively { held in
      try held.require(.serving, to: "quiesce")
      try Watchdog.touch(folder: folder, for: watchdog)
      try held.update {
        $0.state = .quiesced
        $0.note = nil
      }
      try Watchdog.arm(self)
      try services.stop()
      try callAll(.freeze)
    }
  }

  /// Brings the source back: items thawed, services started. Whoever calls it, the state must not be owned by the run. Answers for how long
  /// all services have been up.
  @discardableResult func thaw(note: String? = nil) throws -> Duration {
    try exclusively { held in
      try held.require(.serving, .quiesced, to: "thaw")
      return try bringBack(&held, note: note)
    }
  }

  /// The run owns the state from here on: the source never serves by itself again.
  func seal(verified: [String: String]) throws {
    try exclusively { held in
      try held.require(.quiesced, .sealed, to: "seal")
      guard held.record.state == .quiesced else { return }
      guard Watchdog.isInTime(folder: folder) else {
        throw FerryError(
          .conflict, "the source was held down for too long and is about to be brought back; nothing was sealed",
          hint: "`ferry resume` copies again; raise cutover.watchdog")
      }
      guard try services.isStopped() else {
        throw FerryError(
          .conflict, "a service of the source was started while it was held down: what was read is void",
          hint: "find out who starts it, then `ferry resume`")
      }
      try held.update {
        $0.state = .sealed
        $0.verified = verified
      }
      Watchdog.dismiss(folder: folder)
    }
  }

  /// Gives the state back to the source, once the destination has durably confirmed that it will not serve it.
  func unseal(confirmed: Bool) throws {
    try exclusively { held in
      try held.require(.serving, .quiesced, .sealed, to: "unseal")
      guard held.record.state == .sealed else { return }
      guard confirmed else { throw FerryError(.precondition, "the destination has not confirmed that it is inactive") }
      try bringBack(&held, note: nil)
    }
  }

  /// Removes the source's copy, last of all.
  func retire() throws {
    try exclusively { held in
      try held.require(.sealed, .retired, to: "retire")
      try held.update { $0.state = .retired }
      try callAll(.retire, reversed: true)
    }
  }

  @discardableResult private func bringBack(_ held: inout NodeStore.Held, note: String?) throws -> Duration {
    // Services start even if an item cannot be thawed: a person can mend one, but a service left down is an outage.
    let thawed = Result { try callAll(.thaw, reversed: true) }
    let up = try services.start()
    try thawed.get()
    try held.update {
      $0.state = .serving
      $0.note = note
    }
    Watchdog.dismiss(folder: folder)
    return up
  }
}
