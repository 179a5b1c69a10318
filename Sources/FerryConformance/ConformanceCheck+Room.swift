import Ferry
import FerrySystem

/// A destination that is too small.
extension ConformanceCheck {
  static let room: [ConformanceCheck] = [
    ConformanceCheck("a full disk ends the pass with an error, and with room the run goes on", .room) { subject, verdict in
      if let why = try subject.takeRoom() { return verdict.notRun(why) }
      let before = try subject.look(.source)
      try verdict.hasNoRoom(subject)
      verdict.equal(try subject.look(.source), before, "the source")
      try subject.makeRoom()
      try subject.ends.prepare()
      try subject.ends.pass()
      try verdict.arrives(subject)
    },
    ConformanceCheck("a run that met a full disk is given up while the disk is full, and what was there before comes back", .room) {
      subject, verdict in
      if let why = try subject.takeRoom() { return verdict.notRun(why) }
      try subject.occupy()
      let before = (try subject.look(.source), try subject.look(.destination))
      try verdict.hasNoRoom(subject)
      try subject.ends.giveUp()
      try verdict.isBack(subject, before.0, before.1)
    },
  ]
}

extension Verdict {
  /// A run does not get to its verify. A store between the ends may take the first passes.
  fileprivate func hasNoRoom(_ subject: any ConformanceSubject) throws {
    let error = refused("a pass to a disk that is too small") {
      try subject.ends.prepare()
      try subject.ends.pass()
      try subject.ends.freezeAndFinish()
    }
    expect(
      error?.class != .internal && error?.class != .cancelled, "the error is '\(error?.class.rawValue ?? "")': \(error?.message ?? "")")
    // What the processes have open would keep its place on the disk.
    subject.ends.killBoth()
    try subject.ends.call(.source, .thaw)
  }
}
