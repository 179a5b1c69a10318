import Ferry
import FerrySystem
import Glibc

/// Peers that hang, hang up and talk nonsense, and processes that die in the middle.
extension ConformanceCheck {
  static let broken: [ConformanceCheck] =
    Side.allCases.map { side in
      ConformanceCheck("the \(side.rawValue)'s half of a pass whose peer says nothing ends when it is cancelled", .cancel) {
        subject, verdict in
        let ends = subject.ends
        try ends.prepare()
        let (near, far) = try Descriptor.socketPair()
        let host = try ends.host(side)
        let half = Half(ends, side, near)
        // Cancelled before the call has begun, it would end nothing: so it is cancelled until it ends.
        try half.end(within: .seconds(60)) { host.cancel() }
        verdict.equal(half.error?.class, .cancelled, "the class of the error")
        far.close()
        try ends.pass(final: true)
        try verdict.sameRoots(ends)
      }
    }
    + Side.allCases.map { side in
      ConformanceCheck("a peer of the \(side.rawValue) that hangs up, or talks nonsense, is an error and never a success", .channels) {
        subject, verdict in
        let ends = subject.ends
        try subject.occupy()
        let before = try subject.look(.destination)
        try ends.prepare()
        for nonsense in ["", "\n", "{}\n", "GET / HTTP/1.1\r\n\r\n", String(repeating: "\u{1}\n", count: 30000)] {
          let (near, far) = try Descriptor.socketPair()
          Threads.detach {
            _ = Array(nonsense.utf8).withUnsafeBytes { send(far.number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            shutdown(far.number, Int32(SHUT_WR))
            // A receiver is heard out, so that it ends for what it was told; a sender's words find nobody.
            while side == .destination, let more = try? far.read(upTo: 65536), !more.isEmpty {}
            far.close()
          }
          verdict.refused("a pass with a peer that says \(nonsense.prefix(20).debugDescription)") {
            _ = try ends.half(side, near, final: true)
          }
        }
        try ends.call(.destination, .discard)
        verdict.equal(try subject.look(.destination), before, "what was at the destination")
        verdict.equal(subject.residue, [], "what is left beside the target")
      }
    }
    + Side.allCases.map { side in
      ConformanceCheck("a \(side.rawValue) that is killed in the middle of a pass loses nothing but that pass", .passes) {
        subject, verdict in
        let ends = subject.ends
        try ends.prepare()
        let (left, right) = try Descriptor.socketPair()
        _ = try ends.host(side)
        let half = Half(ends, side, side == .source ? left : right)
        // Its peer hangs, so it is in the middle whenever it is killed.
        try half.end(within: .seconds(60)) { ends.kill(side) }
        left.close()
        right.close()
        ends.killBoth()
        try subject.change(1)
        try ends.pass()
        try verdict.arrives(subject)
      }
    }
    + [
      ConformanceCheck("a channel that is cut after some bytes fails the pass, and the next one makes up for it", .channels) {
        subject, verdict in
        let ends = subject.ends
        try ends.prepare()
        for bytes in [0, 1] + (0..<3).map({ _ in Int.random(in: 2...65536) }) {
          guard let whole = try cut(ends, after: bytes) else { continue }
          // A small state may have been through before the cut. Then it must have arrived.
          if whole { try verdict.sameRoots(ends) }
        }
        try verdict.arrives(subject)
      }
    ]

  /// A final pass over a channel that breaks: whether both ends took it for a success; nil: at least one did not.
  private static func cut(_ ends: ItemEnds, after bytes: Int) throws -> Bool? {
    let (left, near) = try Descriptor.socketPair()
    let (right, far) = try Descriptor.socketPair()
    let left2 = Lock(bytes)
    for (from, to) in [(near, far), (far, near)] {
      Threads.detach {
        while let block = try? from.read(upTo: 65536), !block.isEmpty {
          let allowed = left2.withLock { left in
            defer { left -= min(left, block.count) }
            return min(left, block.count)
          }
          guard (try? to.write(Array(block.prefix(allowed)))) != nil, allowed == block.count else { break }
        }
        for descriptor in [near, far] { shutdown(descriptor.number, Int32(SHUT_RDWR)) }
      }
    }
    let halves = [Half(ends, .source, left, final: true), Half(ends, .destination, right, final: true)]
    for half in halves { try half.end(within: .seconds(60)) {} }
    return halves.allSatisfy { $0.error == nil } ? true : nil
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
