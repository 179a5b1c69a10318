import Ferry
import FerrySystem
import Glibc

/// Both ends of one item, each in a real `ferry host`, and the channel between them: a whole migration without its engine.
open class ItemEnds: @unchecked Sendable {
  /// Where the hosts keep what they must remember.
  public let home: String
  /// What is loaded.
  public let plugin: PluginFile
  /// Which provider of it.
  public let provider: String
  /// The `ferry` that hosts it.
  public let executable: String
  /// The item's keys, as a manifest has them: `from`, `to` and the provider's own.
  public let item: [String: JSONValue]
  private let configs: [Side: JSONValue]
  private let secrets: [String: [UInt8]]
  private let hosts = Lock<[Side: HostProcess]>([:])
  private let mortal = Lock<(side: Side, changes: Int)?>(nil)
  private let offer = Lock<JSONValue?>(nil)
  private let passes = Lock(0)
  private let lines = Lock<[String]>([])
  private let heard = Lock<[Side: Int]>([:])

  /// An item of one provider. `executable` is the `ferry` that hosts it; `told` is what the core adds to the item's keys.
  public init(
    executable: String, plugin: PluginFile, provider: String, home: String, from: JSONValue, to: JSONValue, keys: [String: JSONValue] = [:],
    told: [String: JSONValue] = [:], secrets: [String: [UInt8]] = [:]
  ) {
    self.executable = executable
    self.plugin = plugin
    self.provider = provider
    self.home = home
    self.secrets = secrets
    item = keys.merging(["from": from, "to": to]) { $1 }
    configs = [Side.source: from, .destination: to].mapValues { .object(told.merging(keys) { $1 }.merging(["endpoint": $0]) { $1 }) }
  }

  deinit { for host in hosts.withLock({ Array($0.values) }) { host.end() } }

  /// The host of one end, started if there is none.
  public func host(_ side: Side) throws -> HostProcess {
    try hosts.withLock { hosts in
      if let host = hosts[side], host.isAlive { return host }
      var settings = HostSettings(
        executable: executable, plugin: plugin, provider: provider, side: side, run: "run1", item: "state", config: configs[side] ?? [:],
        folder: "\(home)/host-\(side.rawValue)", secrets: secrets, stall: .seconds(60),
        onLog: { [lines] level, text in lines.withLock { $0.append("\(level): \(text)") } },
        onProgress: { [heard] _ in heard.withLock { $0[side, default: 0] += 1 } })
      settings.diesAfter = mortal.withLock { $0?.side == side ? $0?.changes : nil }
      let host = try HostProcess.start(settings)
      hosts[side] = host
      return host
    }
  }

  /// Everything that was logged.
  public var log: String { lines.withLock { $0.joined(separator: "\n") } }

  /// How often an end has said how far it is.
  public func reports(_ side: Side) -> Int { heard.withLock { $0[side] ?? 0 } }

  /// Whether what is received is in its real place at once, as the offer says: nothing is hidden until `activate` then.
  public var isInPlace: Bool { offer.withLock { $0 }?["target"]?.string == "in-place" }

  /// Ends a host as a crash would; the next call gets a fresh one.
  public func kill(_ side: Side) {
    guard let host = hosts.withLock({ $0.removeValue(forKey: side) }) else { return }
    Glibc.kill(host.identity.pid, SIGKILL)
    host.end()
  }

  /// Kills both.
  public func killBoth() { for side in Side.allCases { kill(side) } }

  /// Does an act until no process of that end dies in it: the first dies at its first checkpoint, the next at its second, and so on. `mend`
  /// is done after each death, in fresh processes.
  public func outlive(_ side: Side, _ act: () throws -> Void, mend: () throws -> Void = {}) throws {
    for changes in 1...200 {
      killBoth()
      mortal.withLock { $0 = (side, changes) }
      let result = Result { try act() }
      let died = hosts.withLock { $0[side].map { !$0.isAlive } ?? false }
      mortal.withLock { $0 = nil }
      killBoth()
      if !died { return try result.get() }
      try mend()
    }
    throw FerryError(.internal, "an act of the \(side.rawValue) dies again and again, or has more than 200 checkpoints")
  }

  /// One call.
  @discardableResult public func call(_ side: Side, _ call: ProviderCall, _ arguments: JSONValue = [:], flags: PassFlags = []) throws
    -> JSONValue
  {
    var arguments = arguments
    if arguments["offer"] == nil, let offer = offer.withLock({ $0 }) { arguments["offer"] = offer }
    return try host(side).call(call, flags: flags, arguments: arguments)
  }

  /// `prepare` at both ends, of a run of that manifest.
  public func prepare(_ manifest: JSONValue = ["name": "harness", "digest": "0", "mode": "copy"]) throws {
    try prepare(.destination, manifest)
    try prepare(.source, manifest)
  }

  /// `prepare` at one end; what the destination offers is kept for all that follows.
  public func prepare(_ side: Side, _ manifest: JSONValue = ["name": "harness", "digest": "0", "mode": "copy"]) throws {
    let reply = try call(side, .prepare, ["manifest": manifest])
    if side == .destination { offer.withLock { $0 = reply } }
  }

  /// One pass of both ends; each end's channel closes when its call is over, as the engine's does. `join` gets the inner ends of two
  /// connections where something is to stand between the two.
  @discardableResult public func pass(final: Bool = false, between join: ((Descriptor, Descriptor) -> Void)? = nil) throws -> (
    sent: JSONValue, received: JSONValue
  ) {
    let (left, next) = try Descriptor.socketPair()
    var right = next
    if let join {
      let (near, far) = try Descriptor.socketPair()
      join(next, near)
      right = far
    }
    let ends = [(Side.source, left), (.destination, right)]
    let results = Threads.mapResults(ends) { [self] side, channel in
      try half(side, channel, final: final)
    }
    passes.withLock { $0 += 1 }
    // The end that failed by itself says more than the one that lost its peer.
    let failures = results.compactMap { result in if case .failure(let error) = result { FerryError.wrap(error) } else { nil } }
    if let failure = failures.first(where: { $0.class != .peer }) ?? failures.first { throw failure }
    return (try results[0].get(), try results[1].get())
  }

  /// One end of a pass alone.
  public func half(_ side: Side, _ channel: Descriptor, final: Bool = false) throws -> JSONValue {
    defer { channel.close() }
    let number = passes.withLock { $0 }
    var flags: PassFlags = final ? [.final] : []
    if number == 0 { flags.insert(.first) }
    let offered = offer.withLock { $0 }
    return try host(side).call(
      side == .source ? .transfer : .receive, pass: number, flags: flags, channels: [channel],
      arguments: offered.map { ["offer": $0] } ?? [:])
  }

  /// What a run does while the services are down: nothing changes any more, and what is left to move is moved.
  public func freezeAndFinish() throws {
    try call(.source, .freeze)
    try pass(final: true)
  }

  /// The digest of one end.
  public func digest(_ side: Side, full: Bool = false, algorithm: String = "xxh3-128", target: String = "staged", listing: String? = nil)
    throws -> JSONValue
  {
    var arguments: JSONValue = ["algorithm": .string(algorithm)]
    if side == .destination { arguments["target"] = .string(target) }
    if let listing { arguments["listing"] = .string(listing) }
    return try call(side, .digest, arguments, flags: full ? [.fullDigest] : [])
  }

  /// All up to `verify`: the digests of both ends.
  public func moveUntilVerified(change: () throws -> Void = {}) throws -> (source: JSONValue, destination: JSONValue) {
    try prepare()
    try pass()
    try change()
    try freezeAndFinish()
    return (try digest(.source), try digest(.destination))
  }

  /// Gives the run up, each call twice and in a process of its own.
  public func giveUp() throws {
    for (side, calls) in [(Side.destination, [ProviderCall.deactivate, .discard]), (.source, [.thaw, .discard])] {
      for call in calls {
        for _ in 0..<2 {
          killBoth()
          try self.call(side, call)
        }
      }
    }
    killBoth()
  }
}

extension Threads {
  /// As `map`, with each element's own outcome.
  static func mapResults<Element: Sendable, Value: Sendable>(
    _ elements: [Element], _ work: @escaping @Sendable (Element) throws -> Value
  ) -> [Result<Value, any Error>] {
    (try? map(elements) { element in Result { try work(element) } }) ?? []
  }
}
