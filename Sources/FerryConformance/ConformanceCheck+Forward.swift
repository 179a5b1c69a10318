import Ferry
import FerrySystem

/// A run that goes well.
extension ConformanceCheck {
  static let forward: [ConformanceCheck] = [
    ConformanceCheck(
      "a state moves: what was received is equal, hidden until activate, and then really there", .passes
    ) {
      subject, verdict in
      let ends = subject.ends
      for side in Side.allCases {
        let notices = try ends.call(side, .check)["notices"]?.array ?? []
        verdict.expect(!notices.contains { $0["severity"] == "error" }, "check at the \(side.rawValue) finds an error: \(notices)")
      }
      let digests = try ends.moveUntilVerified { try subject.change(1) }
      verdict.alike(digests.destination, digests.source, "the digest of what was received")
      if !ends.isInPlace { verdict.equal(try subject.look(.destination), [], "what can be seen before activate") }
      for _ in 0..<2 { try ends.call(.destination, .activate) }
      verdict.equal(try subject.look(.destination), try subject.look(.source), "what is there after activate, twice")
      let active = try ends.digest(.destination, full: true, target: "active")
      verdict.alike(active, digests.source, "the digest of what is active")
      for _ in 0..<2 { try ends.call(.source, .thaw) }
      for side in Side.allCases { for _ in 0..<2 { try ends.call(side, .release) } }
      verdict.equal(try subject.residue(), [], "what is left after release")
      verdict.equal(try subject.look(.destination), try subject.look(.source), "what is there after release, twice")
    },
    ConformanceCheck("an empty state moves as one", .passes) { subject, verdict in
      let full = try subject.look(.source)
      try subject.empty()
      verdict.expect(try subject.look(.source) != full, "the specimen has not emptied its state")
      let digests = try subject.ends.moveUntilVerified()
      verdict.alike(digests.destination, digests.source, "the digest of what was received")
      try subject.ends.call(.destination, .activate)
      verdict.equal(try subject.look(.destination), try subject.look(.source), "what is there after activate")
    },
    ConformanceCheck("what is active can be digested by a process that knows nothing of the run", .digest) { subject, verdict in
      let ends = subject.ends
      let digests = try ends.moveUntilVerified()
      try ends.call(.destination, .activate)
      for side in Side.allCases { try ends.call(side, .release) }
      ends.kill(.destination)
      try Files.remove("\(ends.home)/host-destination")
      let active = try ends.digest(.destination, full: true, target: "active")
      verdict.alike(active, digests.source, "the digest of what is active")
    },
    ConformanceCheck("a digest tells every state from every other, and a full one agrees with a quick one", .digest) { subject, verdict in
      let ends = subject.ends
      try ends.prepare()
      var roots = [try ends.digest(.source)["root"]]
      for number in 1...3 {
        try subject.change(number)
        roots.append(try ends.digest(.source)["root"])
      }
      try subject.touch()
      roots.append(try ends.digest(.source)["root"])
      try subject.empty()
      roots.append(try ends.digest(.source)["root"])
      verdict.equal(Set(roots).count, 6, "the number of roots of six states")
      verdict.equal(try ends.digest(.source, full: true)["root"], roots.last, "the root of a full digest")
      if subject.knowsSHA256 {
        verdict.equal(try ends.digest(.source, algorithm: "sha256")["root"]?.string?.count, 64, "the length of a SHA-256 root")
      }
      ends.kill(.source)
      verdict.equal(try ends.digest(.source)["root"], roots.last, "the root in a fresh process")
    },
    ConformanceCheck("a listing has a line for each entry, and only the lines of what changed differ", .digest) { subject, verdict in
      try subject.ends.prepare()
      let path = "\(subject.ends.home)/listing"
      func lines() throws -> [Substring] {
        _ = try subject.ends.digest(.source, listing: path)
        return String(decoding: try Files.read(path), as: UTF8.self).split(separator: "\n")
      }
      let before = try lines()
      verdict.equal(try lines(), before, "the listing of the same state")
      verdict.expect(!before.isEmpty && before.allSatisfy { $0.split(separator: "\t").count == 2 }, "a line is not digest, tab and path")
      try subject.touch()
      let after = try lines()
      verdict.equal(zip(before, after).filter { $0 != $1 }.count, 1, "the number of lines that differ once one entry has changed")
    },
    ConformanceCheck("prepare twice is prepare once", .offer) { subject, verdict in
      let ends = subject.ends
      try ends.prepare()
      try ends.pass()
      ends.killBoth()
      try ends.prepare()
      try ends.freezeAndFinish()
      try verdict.sameRoots(ends)
    },
    ConformanceCheck("flags that nobody knows are refused", .flags) { subject, verdict in
      try subject.ends.prepare()
      for (side, call) in [(Side.source, ProviderCall.transfer), (.destination, .receive)] {
        let error = verdict.refused("\(call.rawValue) with a flag that nobody knows") {
          try subject.ends.call(side, call, flags: PassFlags(rawValue: 1 << 20))
        }
        verdict.equal(error?.class, .unsupported, "the class of the error")
      }
    },
  ]
}

extension Verdict {
  /// Two digests of one state. By what it was proven is each end's own.
  func alike(_ one: JSONValue, _ other: JSONValue, _ words: String) {
    func proof(_ digest: JSONValue) -> [String: JSONValue] { (digest.object ?? [:]).filter { $0.key != "evidence" } }
    equal(proof(one), proof(other), words)
  }

  /// Both ends have the same state.
  func sameRoots(_ ends: ItemEnds) throws {
    equal(try ends.digest(.destination)["root"], try ends.digest(.source)["root"], "the root of what was received")
  }

  /// From here a run comes to its end.
  func arrives(_ subject: any ConformanceSubject) throws {
    try subject.ends.freezeAndFinish()
    try sameRoots(subject.ends)
    try subject.ends.call(.destination, .activate)
    equal(try subject.look(.destination), try subject.look(.source), "what is there after activate")
  }

  /// Both ends are as they were, and nothing of the run is left.
  func isBack(_ subject: any ConformanceSubject, _ source: [String], _ destination: [String]) throws {
    equal(try subject.look(.destination), destination, "what was at the destination")
    equal(try subject.look(.source), source, "the source")
    equal(try subject.residue(), [], "what is left of the run")
  }
}
