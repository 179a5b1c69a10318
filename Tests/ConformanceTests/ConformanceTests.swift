import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// What docs/abi.md promises, over every provider. A provider that passes fits any run.
@Suite struct ConformanceTests {
  @Test("a state moves: what was received is equal, hidden until activate, and then really there", arguments: Specimen.allCases)
  func moves(_ specimen: Specimen) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    #expect(try harness.call(.source, .check)["notices"]?.array?.contains { $0["severity"] == "error" } != true)
    #expect(try harness.call(.destination, .check)["notices"]?.array?.contains { $0["severity"] == "error" } != true)
    let digests = try harness.moveUntilVerified { try subject.change(1) }
    #expect(digests.source["root"] == digests.destination["root"])
    #expect(digests.source == digests.destination)
    #expect(try subject.look(subject.to) == [])
    for _ in 0..<2 { try harness.call(.destination, .activate) }
    #expect(try subject.look(subject.to) == subject.look(subject.from))
    #expect(try harness.digest(.destination, full: true, target: "active") == digests.source)
    for side in Side.allCases { for _ in 0..<2 { try harness.call(side, .release) } }
    #expect(subject.residue == [])
    #expect(try subject.look(subject.to) == subject.look(subject.from))
  }

  @Test("what is active can be digested by a process that knows nothing of the run", arguments: Specimen.allCases)
  func digestOfAStranger(_ specimen: Specimen) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    let digests = try harness.moveUntilVerified()
    try harness.call(.destination, .activate)
    for side in Side.allCases { try harness.call(side, .release) }
    harness.kill(.destination)
    try Files.remove(harness.folder("host-destination"))
    #expect(try harness.digest(.destination, full: true, target: "active") == digests.source)
  }

  @Test("a digest tells every state from every other, and a full one agrees with a quick one", arguments: Specimen.allCases)
  func digests(_ specimen: Specimen) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    try harness.prepare()
    var roots = [try harness.digest(.source)["root"]]
    for number in 1...3 {
      try subject.change(number)
      roots.append(try harness.digest(.source)["root"])
    }
    try specimen.touch(subject.from)
    roots.append(try harness.digest(.source)["root"])
    #expect(Set(roots).count == 5)
    #expect(try harness.digest(.source, full: true)["root"] == roots.last)
    if specimen.knowsSHA256 { #expect(try harness.digest(.source, algorithm: "sha256")["root"]?.string?.count == 64) }
    harness.kill(.source)
    #expect(try harness.digest(.source)["root"] == roots.last)
  }

  @Test("a listing has a line for each entry, and only the lines of what changed differ", arguments: Specimen.allCases)
  func listing(_ specimen: Specimen) throws {
    let subject = try specimen.harness()
    try subject.harness.prepare()
    func lines() throws -> [Substring] {
      _ = try subject.harness.digest(.source, listing: subject.harness.folder("listing"))
      return try subject.harness.folder.read("listing").split(separator: "\n")
    }
    let before = try lines()
    #expect(before == (try lines()))
    #expect(before.allSatisfy { $0.split(separator: "\t").count == 2 })
    try specimen.touch(subject.from)
    let after = try lines()
    #expect(zip(before, after).filter { $0 != $1 }.count == 1)
  }

  @Test("the undo calls do no harm in fresh processes, twice, where nothing was done", arguments: Specimen.allCases)
  func undoWithout(_ specimen: Specimen) throws {
    let subject = try specimen.harness()
    try specimen.occupy(subject.to)
    let before = (try subject.look(subject.from), try subject.look(subject.to))
    for _ in 0..<2 {
      for side in Side.allCases {
        for call in [ProviderCall.thaw, .deactivate, .discard, .release]
        where side == (call == .thaw ? .source : call == .deactivate ? .destination : side) {
          try subject.harness.call(side, call)
          subject.harness.killBoth()
        }
      }
    }
    #expect(try subject.look(subject.from) == before.0)
    #expect(try subject.look(subject.to) == before.1)
    #expect(subject.residue == [])
  }

  @Test("what was there before comes back, from wherever the run is given up", arguments: Specimen.allCases, [1, 2, 3, 4])
  func comesBack(_ specimen: Specimen, _ steps: Int) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    try specimen.occupy(subject.to)
    let before = (try subject.look(subject.from), try subject.look(subject.to))
    try harness.prepare()
    if steps > 1 { try harness.pass() }
    if steps > 2 { try harness.pass(final: true) }
    if steps > 3 {
      try harness.call(.destination, .activate)
      #expect(try subject.look(subject.to) == specimen.together(before.0, before.1))
    }
    harness.killBoth()
    for call in [ProviderCall.deactivate, .deactivate, .discard, .discard] {
      try harness.call(.destination, call)
      harness.killBoth()
    }
    for _ in 0..<2 { try harness.call(.source, .discard) }
    #expect(try subject.look(subject.to) == before.1)
    #expect(try subject.look(subject.from) == before.0)
    #expect(subject.residue == [])
  }

  @Test("a run goes forward again after deactivate", arguments: Specimen.allCases)
  func forwardAgain(_ specimen: Specimen) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    _ = try harness.moveUntilVerified()
    try harness.call(.destination, .activate)
    try harness.call(.destination, .deactivate)
    #expect(try subject.look(subject.to) == [])
    try subject.change(2)
    try harness.pass(final: true)
    #expect(try harness.digest(.source)["root"] == harness.digest(.destination)["root"])
    try harness.call(.destination, .activate)
    #expect(try subject.look(subject.to) == subject.look(subject.from))
  }

  @Test("the source is whole until retire, and retire takes it, twice", arguments: Specimen.allCases.filter(\.retires))
  func retires(_ specimen: Specimen) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    let before = try subject.look(subject.from)
    _ = try harness.moveUntilVerified()
    try harness.call(.destination, .activate)
    #expect(try subject.look(subject.from) == before)
    for _ in 0..<2 {
      harness.kill(.source)
      try harness.call(.source, .retire)
    }
    #expect(!Files.exists(subject.from))
    #expect(try subject.look(subject.to) == before)
  }

  @Test("a transfer whose peer says nothing ends when it is cancelled", arguments: Specimen.allCases, [Side.source, .destination])
  func cancels(_ specimen: Specimen, _ side: Side) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    try harness.prepare()
    let (near, far) = try Descriptor.socketPair()
    let host = try harness.host(side)
    let outcome = Lock<FerryError?>(nil)
    let over = Signal()
    Threads.detach {
      let error = failure { _ = try harness.half(side, near) }
      outcome.withLock { $0 = error }
      over.raise()
    }
    // Cancelled before the call has begun, it would end nothing: so it is cancelled until it ends.
    try waitFor("the end of the call") {
      host.cancel()
      return over.wait(atMost: .milliseconds(50))
    }
    #expect(outcome.withLock { $0 }?.class == .cancelled)
    far.close()
    try harness.pass(final: true)
    #expect(try harness.digest(.source)["root"] == harness.digest(.destination)["root"])
  }

  @Test(
    "a peer that hangs up, or talks nonsense, is an error and never a success", arguments: Specimen.allCases, [Side.source, .destination])
  func badPeer(_ specimen: Specimen, _ side: Side) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    try specimen.occupy(subject.to)
    let before = try subject.look(subject.to)
    try harness.prepare()
    for nonsense in ["", "\n", "{}\n", "GET / HTTP/1.1\r\n\r\n", String(repeating: "\u{1}\n", count: 30000)] {
      let (near, far) = try Descriptor.socketPair()
      Threads.detach {
        _ = sendQuietly(far, Array(nonsense.utf8))
        shutdown(far.number, Int32(SHUT_WR))
        // A receiver is heard out, so that it ends for what it was told; a sender's words find nobody.
        while side == .destination, let more = try? far.read(upTo: 65536), !more.isEmpty {}
        far.close()
      }
      #expect(failure { _ = try harness.half(side, near, final: true) } != nil, "\(nonsense.prefix(20))")
    }
    try harness.call(.destination, .discard)
    #expect(try subject.look(subject.to) == before)
    #expect(subject.residue == [])
  }

  @Test(
    "a host that is killed in the middle of a pass loses nothing but that pass", arguments: Specimen.allCases, [Side.source, .destination])
  func killed(_ specimen: Specimen, _ side: Side) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    try harness.prepare()
    let (left, right) = try Descriptor.socketPair()
    _ = try harness.host(side)
    let over = Signal()
    Threads.detach {
      _ = failure { _ = try harness.half(side, side == .source ? left : right) }
      over.raise()
    }
    // Its peer hangs, so it is in the middle whenever it is killed.
    try waitFor("the end of the call") {
      harness.kill(side)
      return over.wait(atMost: .milliseconds(20))
    }
    left.close()
    right.close()
    harness.killBoth()
    try subject.change(1)
    try harness.pass()
    try harness.pass(final: true)
    #expect(try harness.digest(.source)["root"] == harness.digest(.destination)["root"])
    try harness.call(.destination, .activate)
    #expect(try subject.look(subject.to) == subject.look(subject.from))
  }

  @Test("prepare twice is prepare once", arguments: Specimen.allCases)
  func preparesTwice(_ specimen: Specimen) throws {
    let subject = try specimen.harness()
    let harness = subject.harness
    try harness.prepare()
    try harness.pass()
    harness.killBoth()
    try harness.prepare()
    try harness.pass(final: true)
    #expect(try harness.digest(.source)["root"] == harness.digest(.destination)["root"])
  }

  @Test("flags that nobody knows are refused", arguments: Specimen.allCases)
  func unknownFlags(_ specimen: Specimen) throws {
    let subject = try specimen.harness()
    try subject.harness.prepare()
    for (side, call) in [(Side.source, ProviderCall.transfer), (.destination, .receive)] {
      #expect(failure { try subject.harness.call(side, call, flags: PassFlags(rawValue: 1 << 20)) }?.class == .unsupported)
    }
  }
}

/// Writes what goes; a peer that has hung up is no failure of the test.
private func sendQuietly(_ descriptor: Descriptor, _ bytes: [UInt8]) -> Int {
  bytes.withUnsafeBytes { send(descriptor.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
}
