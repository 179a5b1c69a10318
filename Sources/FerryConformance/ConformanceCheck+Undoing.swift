import Ferry
import FerrySystem

/// A run that goes back, or that is taken up again by other processes.
extension ConformanceCheck {
  /// The acts between which a run can be given up.
  private static let steps: [(name: String, act: @Sendable (ItemEnds) throws -> Void)] = [
    ("prepare", { try $0.prepare() }), ("a pass", { try $0.pass() }), ("the final pass", { try $0.freezeAndFinish() }),
    ("activate", { try $0.call(.destination, .activate) }),
  ]

  static let undoing: [ConformanceCheck] =
    [
      ConformanceCheck("the undo calls do no harm in fresh processes, twice, where nothing was done", .undo) { subject, verdict in
        try subject.occupy()
        let before = (try subject.look(.source), try subject.look(.destination))
        for _ in 0..<2 {
          for (side, calls) in [
            (Side.source, [ProviderCall.thaw, .discard, .release]), (.destination, [.deactivate, .discard, .release]),
          ] {
            for call in calls {
              try subject.ends.call(side, call)
              subject.ends.killBoth()
            }
          }
        }
        try verdict.isBack(subject, before.0, before.1)
      },
      ConformanceCheck("a run goes forward again after deactivate", .undo) { subject, verdict in
        _ = try subject.ends.moveUntilVerified()
        try subject.ends.call(.destination, .activate)
        try subject.ends.call(.destination, .deactivate)
        if !subject.ends.isInPlace { verdict.equal(try subject.look(.destination), [], "what is there after deactivate") }
        try subject.ends.call(.source, .thaw)
        try subject.change(2)
        try verdict.arrives(subject)
      },
      ConformanceCheck("the source is whole until retire, and retire takes it, twice", .undo) { subject, verdict in
        let before = try subject.look(.source)
        _ = try subject.ends.moveUntilVerified()
        try subject.ends.call(.destination, .activate)
        verdict.equal(try subject.look(.source), before, "the source before retire")
        for _ in 0..<2 {
          subject.ends.kill(.source)
          do { try subject.ends.call(.source, .retire) } catch {
            // A provider that never removes a state may say so.
            if subject.retires { throw error }
          }
        }
        verdict.equal(try subject.look(.source), subject.retires ? [] : before, "the source after retire")
        verdict.equal(try subject.look(.destination), before, "the destination after retire")
      },
    ]
    + steps.indices.map { last in
      ConformanceCheck("what was there before comes back when a run is given up after \(steps[last].name)", .undo) { subject, verdict in
        try subject.occupy()
        let before = (try subject.look(.source), try subject.look(.destination))
        for step in steps[...last] { try step.act(subject.ends) }
        if last == steps.count - 1 {
          verdict.equal(try subject.look(.destination), subject.together(before.0, before.1), "what is there after activate")
        }
        try subject.ends.giveUp()
        try verdict.isBack(subject, before.0, before.1)
      }
    }
    + [
      ConformanceCheck("a run whose processes are killed after every step comes to its end", .undo) { subject, verdict in
        for step in steps {
          try step.act(subject.ends)
          subject.ends.killBoth()
        }
        verdict.equal(try subject.look(.destination), try subject.look(.source), "what is there after activate")
        try subject.ends.call(.source, .thaw)
        for side in Side.allCases { try subject.ends.call(side, .release) }
        verdict.equal(try subject.residue(), [], "what is left of the run")
      }
    ]
}
