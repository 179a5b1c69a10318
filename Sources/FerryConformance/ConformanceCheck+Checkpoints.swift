import Ferry
import FerrySystem

/// Processes that die just when they have noted something: at each put into `ferry_kv` and each removal from it.
extension ConformanceCheck {
  static let checkpoints: [ConformanceCheck] = [
    ConformanceCheck("a run whose processes are killed at every checkpoint, once each, comes to its end", .checkpoints) {
      subject, verdict in
      let ends = subject.ends
      /// As a session that takes the run up: the source serves, and both ends are prepared again.
      func again() throws {
        try ends.call(.source, .thaw)
        try ends.prepare()
      }
      for side in [Side.destination, .source] { try ends.outlive(side, { try ends.prepare(side) }) }
      for side in Side.allCases { try ends.outlive(side, { try ends.pass() }, mend: again) }
      try subject.change(1)
      for side in Side.allCases {
        try ends.call(.source, .thaw)
        try ends.outlive(side, { try ends.freezeAndFinish() }, mend: again)
      }
      for side in Side.allCases { try ends.outlive(side, { _ = try ends.digest(side) }) }
      try verdict.sameRoots(ends)
      try ends.outlive(.destination, { try ends.call(.destination, .activate) })
      try ends.outlive(.source, { try ends.call(.source, .thaw) })
      for side in Side.allCases { try ends.outlive(side, { try ends.call(side, .release) }) }
      verdict.equal(try subject.look(.destination), try subject.look(.source), "what is there in the end")
      verdict.equal(try subject.residue(), [], "what is left of the run")
    },
    ConformanceCheck(
      "a run is undone from every checkpoint of activate, and by processes that are killed at every checkpoint", .checkpoints
    ) {
      subject, verdict in
      let ends = subject.ends
      try subject.occupy()
      let before = (try subject.look(.source), try subject.look(.destination))
      _ = try ends.moveUntilVerified()
      let hidden = try subject.look(.destination)
      try ends.outlive(.destination, { try ends.call(.destination, .activate) }) {
        try ends.call(.destination, .deactivate)
        verdict.equal(try subject.look(.destination), hidden, "what is there after a deactivate in the middle of activate")
      }
      verdict.equal(try subject.look(.destination), subject.together(before.0, before.1), "what is there after activate")
      for (side, calls) in [(Side.destination, [ProviderCall.deactivate, .discard]), (.source, [.thaw, .discard])] {
        for call in calls { try ends.outlive(side, { try ends.call(side, call) }) }
      }
      try verdict.isBack(subject, before.0, before.1)
    },
  ]
}
