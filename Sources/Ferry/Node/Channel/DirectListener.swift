import FerrySystem
import Glibc

/// Waits for the other end of a direct channel: on one address and a port of the system's choice, until all connections have come.
///
/// Who connects is a candidate until it has shown the key, for a few seconds at most, and one among many: a stranger that stalls keeps nobody
/// out, and one that repeats what it has overheard cannot finish the handshake, since both ends put something fresh into it.
final class DirectListener: Sendable {
  /// For one handshake.
  static let patience: Duration = .seconds(5)
  /// Beyond this many at once the oldest candidate goes.
  static let mostCandidates = 64

  let host: String
  let port: UInt16
  private let socket: Descriptor
  private let key: [UInt8]
  private let expected: Set<String>
  private let state = Lock(State())
  private let complete = Signal()

  private struct State {
    var met: [String: TLSWire] = [:]
    var candidates: [Descriptor] = []
    var closed = false
  }

  /// Listens from now on, for at most `lifetime`.
  init(host: String, terms: ChannelTerms, lifetime: Duration = .seconds(60)) throws {
    guard let key = try terms.key?.bytes else { throw FerryError(.invalid, "a direct channel has no key") }
    self.key = key
    self.host = host
    expected = Set(terms.connections.map(\.text))
    (socket, port) = try TCPSocket.listen(host: host)
    let deadline = ContinuousClock.now + lifetime
    Threads.detach { self.serve(until: deadline) }
  }

  /// The connections by name, once all have come.
  func accept(within limit: Duration) throws -> [String: TLSWire] {
    guard complete.wait(atMost: limit), let met = state.withLock({ $0.met.count == expected.count ? $0.met : nil }) else {
      close()
      throw FerryError(.peer, "the other end of the channel did not come to \(host) within \(limit.components.seconds) s")
    }
    return met
  }

  /// Listens no more; who has not shown the key is turned away.
  func close() {
    let candidates = state.withLock { state in
      state.closed = true
      defer { state.candidates = [] }
      return state.candidates
    }
    // Wakes the thread that accepts; it closes the socket.
    for each in candidates + [socket] { _ = shutdown(each.number, Int32(SHUT_RDWR)) }
  }

  private func serve(until deadline: ContinuousClock.Instant) {
    while !state.withLock({ $0.closed }) {
      let left = ContinuousClock.now.duration(to: deadline)
      guard left > .zero else { break }
      if let candidate = TCPSocket.accept(socket, within: left) { examine(candidate) }
    }
    close()
    socket.close()
    complete.raise()
  }

  private func examine(_ candidate: Descriptor) {
    let crowdedOut: Descriptor? = state.withLock { state in
      state.candidates.append(candidate)
      return state.candidates.count > Self.mostCandidates ? state.candidates.removeFirst() : nil
    }
    if let crowdedOut { _ = shutdown(crowdedOut.number, Int32(SHUT_RDWR)) }
    Threads.detach { [self] in
      let wire = try? TLSWire(candidate, key: key, dialling: nil, within: Self.patience)
      let isComplete = state.withLock { state in
        state.candidates.removeAll { $0 === candidate }
        guard let wire, !state.closed, expected.contains(wire.name), state.met[wire.name] == nil else { return false }
        state.met[wire.name] = wire
        return state.met.count == expected.count
      }
      if isComplete { close() }
    }
  }
}

enum DirectChannel {
  /// Dials an end that listens: all connections at once.
  static func dial(host: String, port: UInt16, terms: ChannelTerms) throws -> [String: TLSWire] {
    guard let key = try terms.key?.bytes else { throw FerryError(.invalid, "a direct channel has no key") }
    let wires = try Threads.map(terms.connections) { name in
      let socket = try TCPSocket.connect(host: host, port: port, within: DirectListener.patience)
      return try TLSWire(socket, key: key, dialling: name.text, within: DirectListener.patience)
    }
    return Dictionary(wires.map { ($0.name, $0) }) { first, _ in first }
  }
}
