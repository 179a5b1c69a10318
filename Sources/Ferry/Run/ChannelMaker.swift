import FerrySystem

/// Joins the two nodes of a session, a channel at a time. The way is found with the first channel and kept for the others.
final class ChannelMaker: Sendable {
  /// How the nodes are joined.
  enum Route: Sendable, Hashable {
    case local
    case direct(listener: Side)
    case relay
  }

  private let source: NodeConnection
  private let destination: NodeConnection
  private let policy: Manifest.Channel
  private let compression: Bool
  private let streams: Int
  private let hosts: [Side: String]
  private let newKey: @Sendable () -> ChannelKey
  private let notice: @Sendable (String) -> Void
  private let chosen = Lock<Route?>(nil)
  /// The first channel finds the way; the others wait for what it finds.
  private let choosing = Lock(())

  /// `hosts`: the addresses of the nodes where ssh does not tell them.
  init(
    _ manifest: Manifest, source: NodeConnection, destination: NodeConnection, hosts: [Side: String] = [:],
    newKey: @escaping @Sendable () -> ChannelKey = { ChannelKey() }, notice: @escaping @Sendable (String) -> Void = { _ in }
  ) {
    self.hosts = hosts
    self.newKey = newKey
    self.source = source
    self.destination = destination
    policy = manifest.channel
    streams = manifest.limits.streams
    compression = manifest.limits.compression == .auto
    self.notice = notice
  }

  /// Both agents have the channel after this, under that name.
  func make(_ name: String) throws {
    if let route = chosen.withLock({ $0 }) {
      do { return try join(name, route) } catch {
        // Of a node that is lost no other way leads to it.
        guard case .direct = route, policy == .auto, !source.isLost, !destination.isLost else { throw error }
        demote(because: FerryError.wrap(error).message)
        return try join(name, .relay)
      }
    }
    try choosing.withLock { _ in
      guard let route = chosen.withLock({ $0 }) else { return try choose(name) }
      try join(name, route)
    }
  }

  /// A direct channel broke: from here on all go through ssh. False: there is no other way, or it was no direct one.
  func fallBack(because reason: String) -> Bool {
    guard policy == .auto, case .direct? = chosen.withLock({ $0 }) else { return false }
    demote(because: reason)
    return true
  }

  /// Finds the way, for a plan, and says it in words.
  func describe() throws -> String {
    var reason = ""
    if policy != .ssh && !areLocal || policy == .direct {
      let name = "probe-\(Hex.random(4))"
      do {
        try direct(name)
        for node in [source, destination] { try node.send(.drop, ["channel": name]) }
      } catch let error as FerryError {
        if policy == .direct { throw error }
        chosen.withLock { $0 = .relay }
        reason = " (\(error.message))"
      }
    } else {
      chosen.withLock { $0 = policy == .ssh ? .relay : .local }
    }
    switch chosen.withLock({ $0 }) {
    case .direct(let listener): return "direct: TLS 1.3 from host to host, \(node(listener).name) listens"
    case .relay: return "through ssh\(reason)"
    case .local, nil: return "a unix socket: both nodes are local"
    }
  }

  // MARK: Finding the way

  private var areLocal: Bool { source.isLocal && destination.isLocal && hosts.isEmpty }

  private func choose(_ name: String) throws {
    switch policy {
    case .auto where areLocal: try settle(name, .local)
    case .ssh: try settle(name, .relay)
    case .direct: try direct(name)
    case .auto:
      do { try direct(name) } catch {
        try settle(name, .relay)
        notice("the channel goes through ssh: \(FerryError.wrap(error).message)")
      }
    }
  }

  private func settle(_ name: String, _ route: Route) throws {
    try join(name, route)
    chosen.withLock { $0 = route }
  }

  /// Either end listens, whichever the other can dial.
  private func direct(_ name: String) throws {
    var reasons: [String] = []
    for listener in [Side.destination, .source] {
      do { return try settle(name, .direct(listener: listener)) } catch {
        reasons.append("\(node(listener.other).name) to \(node(listener).name): \(FerryError.wrap(error).message)")
      }
    }
    throw FerryError(
      .peer, "no direct channel: \(reasons.joined(separator: "; "))", hint: "let one host reach the other by TCP, or say `channel: ssh`")
  }

  private func demote(because reason: String) {
    let isNews = chosen.withLock { chosen in
      defer { chosen = .relay }
      return chosen != .relay
    }
    if isNews { notice("the direct channel failed, further ones go through ssh: \(reason)") }
  }

  // MARK: Joining

  private func node(_ side: Side) -> NodeConnection { side == .source ? source : destination }

  private func join(_ name: String, _ route: Route) throws {
    var terms = ChannelTerms(channel: name)
    switch route {
    case .local:
      let address: ChannelAddress = try destination.send(.listen, ListenRequest(terms: terms, kind: .local)).decode()
      try source.send(.connect, ConnectRequest(terms: terms, address: address))
    case .direct(let listener):
      terms.key = newKey()
      terms.streams = streams
      terms.compression = compression
      let host = try address(of: listener)
      let address: ChannelAddress = try node(listener).send(.listen, ListenRequest(terms: terms, kind: .direct, host: host)).decode()
      try node(listener.other).send(.connect, ConnectRequest(terms: terms, address: address))
    case .relay:
      terms.compression = compression
      let ends = try [source, destination].map { node in
        let address: ChannelAddress = try node.send(.listen, ListenRequest(terms: terms, kind: .relay)).decode()
        guard case .relay(let point) = address else { throw FerryError(.peer, "\(node.name) does not listen as it was told to") }
        return try node.reach(point)
      }
      ChannelRelay.join(.init(ends[0].stream), .init(ends[1].stream)) { for end in ends { end.onEnd() } }
    }
  }

  /// One address by which the other host may find that node: what ssh has found it by, or been called from.
  private func address(of side: Side) throws -> String {
    let (own, other) = (node(side), node(side.other))
    if let host = hosts[side] { return host }
    if areLocal { return "127.0.0.1" }
    guard let address = own.isLocal ? other.hello.ssh?.client : own.hello.ssh?.server else {
      throw FerryError(.notFound, "no address of \(own.name) is known")
    }
    return address
  }
}

extension NodeConnection {
  /// The controller's stream to an agent's unix socket, its token shown, and what to do when it has ended.
  fileprivate func reach(_ point: LinkPoint) throws -> (stream: Descriptor, onEnd: @Sendable () -> Void) {
    if isLocal { return (try ChannelLink.connect(point), {}) }
    let process = try transport.start(["link", "--home", hello.home, "--channel", point.name])
    try process.send(Array(point.token.utf8))
    return (process.stream, { process.end() })
  }
}

extension Side {
  /// The side across.
  var other: Side { self == .source ? .destination : .source }
}
