import FerrySystem

/// An agent's channels: those that wait for their other end, those that have met, and those in which bytes move.
final class ChannelDesk: Sendable {
  private let home: String
  private let side: Side
  private let limit: BandwidthLimit?
  private let waiting = Lock<[String: Waiting]>([:])
  private let moving = Lock<[String: any ChannelMover]>([:])

  private enum Waiting: Sendable {
    case link(ChannelListener)
    case met(Descriptor)
    /// As `link`, but what comes goes through something slower than this machine.
    case relay(ChannelListener, ChannelTerms)
    case direct(DirectListener, ChannelTerms)
    case dialled([String: TLSWire], ChannelTerms)
  }

  /// `bandwidth`: bytes a second that this end may send.
  init(home: String, side: Side, bandwidth: Int64?) {
    self.home = home
    self.side = side
    limit = bandwidth.map { BandwidthLimit(bytesPerSecond: $0) }
  }

  /// Waits for the other end from now on. Another way for the same channel replaces the one before.
  func listen(_ request: ListenRequest) throws -> ChannelAddress {
    let name = request.terms.channel
    drop(name)
    switch request.kind {
    case .local:
      let listener = try ChannelListener(below: home)
      put(name, .link(listener))
      return .local(listener.address)
    case .relay:
      let listener = try ChannelListener(below: home)
      put(name, .relay(listener, request.terms))
      return .relay(listener.address)
    case .direct:
      guard let host = request.host else { throw FerryError(.invalid, "'listen' names no address") }
      let listener = try DirectListener(host: host, terms: request.terms)
      put(name, .direct(listener, request.terms))
      return .direct(host: host, port: listener.port)
    }
  }

  /// Goes to the other end; returns once the two have met.
  func connect(_ request: ConnectRequest) throws {
    let name = request.terms.channel
    drop(name)
    switch request.address {
    case .local(let point): put(name, .met(try ChannelLink.connect(point)))
    case .direct(let host, let port):
      put(name, .dialled(try DirectChannel.dial(host: host, port: port, terms: request.terms), request.terms))
    case .relay: throw FerryError(.invalid, "a relayed channel is waited for at both ends")
    }
  }

  /// Forgets a channel in which nothing moves yet.
  func drop(_ name: String) {
    if case .direct(let listener, _)? = waiting.withLock({ $0.removeValue(forKey: name) }) { listener.close() }
  }

  /// Moves the bytes of a plugin through a channel, once the other end is there.
  func pump(_ name: String, plugin: Descriptor) throws -> any ChannelMover {
    let mover: any ChannelMover
    switch waiting.withLock({ $0.removeValue(forKey: name) }) {
    case .link(let listener): mover = ChannelPump(plugin: plugin, link: try listener.accept(timeout: .seconds(60)), limit: limit)
    case .met(let link): mover = ChannelPump(plugin: plugin, link: link, limit: limit)
    case .relay(let listener, let terms):
      let wire = PlainWire(try listener.accept(timeout: .seconds(60)))
      mover = BlockPump(plugin: plugin, out: [wire], into: [wire], compression: terms.compression, limit: limit)
    case .direct(let listener, let terms): mover = blocks(plugin, try listener.accept(within: .seconds(60)), terms)
    case .dialled(let wires, let terms): mover = blocks(plugin, wires, terms)
    case nil: throw FerryError(.invalid, "there is no channel '\(name.prefix(64))'")
    }
    moving.withLock { $0[name] = mover }
    mover.start()
    return mover
  }

  /// The pump of that channel has ended.
  func done(_ name: String) { moving.withLock { _ = $0.removeValue(forKey: name) } }

  /// Ends all at once.
  func abort() {
    for name in waiting.withLock({ Array($0.keys) }) { drop(name) }
    for mover in moving.withLock({ Array($0.values) }) { mover.abort() }
  }

  private func put(_ name: String, _ end: Waiting) { waiting.withLock { $0[name] = end } }

  private func blocks(_ plugin: Descriptor, _ wires: [String: TLSWire], _ terms: ChannelTerms) -> BlockPump {
    let (out, into) = (terms.connections.filter { $0.sender == side }, terms.connections.filter { $0.sender != side })
    return BlockPump(
      plugin: plugin, out: out.compactMap { wires[$0.text] }, into: into.compactMap { wires[$0.text] }, compression: terms.compression,
      limit: limit)
  }
}
