import Ferry
import FerrySystem
import Glibc

/// Peers that hang, hang up and talk nonsense, and processes that die in the middle.
extension ConformanceCheck {
  static let broken: [ConformanceCheck] = hanging + strange + killed + [cut]

  private static let hanging: [ConformanceCheck] =
    Side.allCases.map { side in
      ConformanceCheck("the \(side.rawValue)'s half of a pass whose peer says nothing ends when it is cancelled", .cancel) {
        subject, verdict in
        let ends = subject.ends
        try ends.prepare()
        let (near, far) = try Descriptor.socketPair()
        let host = try ends.host(side)
        let half = Half(ends, side, near)
        // Cancelled before the call has begun, it would end nothing: so it is cancelled until it ends.
        let began = ContinuousClock.now
        try half.end(within: .seconds(60)) { host.cancel() }
        verdict.equal(half.error?.class, .cancelled, "the class of the error")
        // The host waits ten seconds. A provider without a cancel is killed at once, which is its right.
        let wasKilled = !host.isAlive && ContinuousClock.now - began >= .seconds(10)
        verdict.expect(!wasKilled, "it had to be killed: it did not end within ten seconds of cancel")
        far.close()
        try ends.pass()
        try ends.freezeAndFinish()
        try verdict.sameRoots(ends)
      }
    }

  private static let strange: [ConformanceCheck] =
    Side.allCases.map { side in
      ConformanceCheck("a peer of the \(side.rawValue) that hangs up, or talks nonsense, is an error and never a success", .channels) {
        subject, verdict in
        let ends = subject.ends
        try subject.occupy()
        let before = (try subject.look(.source), try subject.look(.destination))
        try ends.prepare()
        for nonsense in ["", "\n", "{}\n", "GET / HTTP/1.1\r\n\r\n", String(repeating: "\u{1}\n", count: 30000)] {
          let (near, far) = try Descriptor.socketPair()
          _ = Array(nonsense.utf8).withUnsafeBytes { send(far.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
          switch side {
          // A sender's words find nobody: one that was heard out may leave the proof to Ferry, which compares what both ends count.
          case .source: far.close()
          // A receiver is heard out, so that it ends for what it was told.
          case .destination:
            Threads.detach {
              shutdown(far.number, Int32(SHUT_WR))
              while let more = try? far.read(upTo: 65536), !more.isEmpty {}
              far.close()
            }
          }
          verdict.refused("a pass with a peer that says \(nonsense.prefix(20).debugDescription)") {
            _ = try ends.half(side, near)
          }
        }
        try ends.giveUp()
        try verdict.isBack(subject, before.0, before.1)
      }
    }

  private static let killed: [ConformanceCheck] =
    Side.allCases.map { side in
      ConformanceCheck("a \(side.rawValue) that is killed in the middle of a pass loses nothing but that pass", .passes) {
        subject, verdict in
        let ends = subject.ends
        try ends.prepare()
        let gone = Lock([Side: Int]())
        _ = try pass(ends) { from, count in
          let gone = gone.withLock { gone in
            gone[from, default: 0] += count
            return gone
          }
          // It is at work for certain once it has said something, or has taken more than a socket holds.
          guard gone[side] != nil || gone[side == .source ? .destination : .source, default: 0] > 1 << 20 else { return count }
          ends.kill(side)
          return 0
        }
        ends.killBoth()
        try subject.change(1)
        try ends.pass()
        try verdict.arrives(subject)
      }
    }

  private static let cut =
    ConformanceCheck("a channel that is cut after some bytes fails the pass, and the next one makes up for it", .channels) {
      subject, verdict in
      let ends = subject.ends
      try ends.prepare()
      for bytes in [0, 1] + (0..<3).map({ _ in Int.random(in: 2...65536) }) {
        // A small state may have been through before the cut. Then it must have arrived; of a pass that is not the last one only a provider
        // that works in place shows it.
        let room = Lock(bytes)
        let isWhole = try pass(ends, final: !ends.isInPlace) { _, count in
          room.withLock { room in
            defer { room -= min(room, count) }
            return min(room, count)
          }
        }
        guard isWhole else { continue }
        let roots = (try ends.digest(.source)["root"], try ends.digest(.destination)["root"])
        verdict.equal(roots.1, roots.0, "the root of what was received, though the channel was cut after \(bytes) bytes")
      }
      try verdict.arrives(subject)
    }

  /// A pass through a wire that `take` watches over: it says how many bytes of a block may go on, and where that is not all the wire breaks.
  /// Answers whether both ends took the pass for a success.
  private static func pass(_ ends: ItemEnds, final: Bool = false, _ take: @escaping @Sendable (_ from: Side, _ count: Int) -> Int) throws
    -> Bool
  {
    let (left, near) = try Descriptor.socketPair()
    let (right, far) = try Descriptor.socketPair()
    for (side, from, to) in [(Side.source, near, far), (.destination, far, near)] {
      Threads.detach {
        while let block = try? from.read(upTo: 65536), !block.isEmpty {
          let allowed = take(side, block.count)
          guard (try? to.write(Array(block.prefix(allowed)))) != nil, allowed == block.count else { break }
        }
        for descriptor in [near, far] { shutdown(descriptor.number, Int32(SHUT_RDWR)) }
      }
    }
    let halves = [Half(ends, .source, left, final: final), Half(ends, .destination, right, final: final)]
    for half in halves { try half.end(within: .seconds(60)) {} }
    return halves.allSatisfy { $0.error == nil }
  }
}

/// One end's half of a pass on a thread of its own.
private final class Half: Sendable {
  private let outcome = Lock<FerryError?>(nil)
  private let over = Signal()

  init(_ ends: ItemEnds, _ side: Side, _ channel: Descriptor, final: Bool = false) {
    Threads.detach { [outcome, over] in
      do { _ = try ends.half(side, channel, final: final) } catch { outcome.withLock { $0 = FerryError.wrap(error) } }
      over.raise()
    }
  }

  var error: FerryError? { outcome.withLock { $0 } }

  /// Does something until the half is over.
  func end(within limit: Duration, _ act: () -> Void) throws {
    let deadline = ContinuousClock.now + limit
    repeat {
      guard ContinuousClock.now < deadline else { throw FerryError(.retry, "the pass has not ended within \(limit)") }
      act()
    } while !over.wait(atMost: .milliseconds(50))
  }
}
