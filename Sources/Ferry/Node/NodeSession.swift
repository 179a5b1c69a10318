import FerrySystem

/// One end of one run, at work on its node: the plugin hosts, the services and the record. The agent, the watchdog and `ferry node` all act
/// through it, so there is one way to thaw, to seal and to activate.
final class NodeSession: Sendable {
  /// What the node itself provides.
  struct Surroundings: Sendable {
    var store: NodeStore
    var plugins: PluginCatalog
    /// Where the catalog looks, for the watchdog's own.
    var pluginFolders: [String]
    /// The `ferry` program, for hosts and the watchdog.
    var executable: String
    var report: @Sendable (NodeReport) -> Void
  }

  let surroundings: Surroundings
  let record: NodeRecord
  let epoch: Int?
  let folder: String
  let services: ServiceGroup
  let processes: SessionProcesses
  private let secrets: SecretResolver
  private let stall: Duration
  /// A lock for each item: starting one's process does not wait for another's.
  private let hosts: [String: Lock<HostProcess?>]
  private let frozen = Lock<Set<String>>([])
  private let cancelled = Lock(false)

  /// `record` is what the store holds (or, for a visitor, would hold). `epoch` nil: a person or the watchdog acts, whatever the session.
  init(
    _ surroundings: Surroundings, record: NodeRecord, epoch: Int?, secrets: SecretResolver = SecretResolver(sent: [:]),
    stall: Duration = .seconds(600)
  ) {
    self.surroundings = surroundings
    self.record = record
    self.epoch = epoch
    self.secrets = secrets
    self.stall = stall
    folder = surroundings.store.folder(record.run, record.side)
    processes = SessionProcesses(folder: folder)
    hosts = Dictionary(record.items.map { ($0.name, Lock<HostProcess?>(nil)) }) { first, _ in first }
    let report = surroundings.report
    services = ServiceGroup(
      run: record.run, side: record.side, services: record.services, folder: "\(folder)/services",
      ferry: FerryProgram(executable: surroundings.executable, plugins: surroundings.pluginFolders), report: { report(.service($0)) })
  }

  /// Runs one act alone under the record's lock, refused if a later session has taken over.
  func exclusively<Value>(_ act: (inout NodeStore.Held) throws -> Value) throws -> Value {
    try surroundings.store.exclusively(record.run, record.side, epoch: epoch, act)
  }

  // MARK: Items

  /// The item of that name.
  func item(_ name: String) throws -> ItemSpec {
    guard let item = record.items.first(where: { $0.name == name }) else {
      throw FerryError(.notFound, "run \(record.run) has no state '\(name)' at the \(record.side)")
    }
    return item
  }

  /// A provider's call in the item's own host process.
  func call(
    _ call: ProviderCall, _ name: String, pass: Int = 0, flags: PassFlags = [], channels: [Descriptor] = [], arguments: JSONValue = [:]
  ) throws -> JSONValue {
    guard !cancelled.withLock({ $0 }) || call.undoes else { throw FerryError(.cancelled, "the run was cancelled") }
    if call != .freeze, !call.undoes, frozen.withLock({ $0.contains(name) }), hosts[name]?.withLock({ $0?.isAlive }) != true {
      throw FerryError(
        .internal, "the process that kept '\(name)' frozen has died: what was read since may be torn",
        hint: "`ferry resume` copies it again")
    }
    // A process after a resume has never seen `prepare`: every call brings what the destination offered. It was
    // noted in the store after this session began.
    var arguments = arguments
    let latest = try surroundings.store.record(record.run, record.side) ?? record
    if arguments["offer"] == nil, let offer = latest.offers[name] { arguments["offer"] = offer }
    let result = try host(for: name).call(call, pass: pass, flags: flags, channels: channels, arguments: arguments)
    switch call {
    case .freeze: frozen.withLock { _ = $0.insert(name) }
    case .thaw: frozen.withLock { _ = $0.remove(name) }
    default: break
    }
    return result
  }

  /// One call for each item, in the order of `after:` or against it. All are tried; then the first failure is thrown.
  func callAll(_ call: ProviderCall, reversed: Bool = false, arguments: (String) -> JSONValue = { _ in [:] }) throws {
    var failures: [FerryError] = []
    let order = ItemOrder.sorted(record.items)
    for item in reversed ? order.reversed() : order {
      do { _ = try self.call(call, item.name, arguments: arguments(item.name)) } catch {
        failures.append(FerryError.wrap(error))
        if !call.undoes { break }
      }
    }
    if let first = failures.first { throw first }
  }

  /// Tells an item's pass that stays to end in good order.
  func windUp(_ name: String) { hosts[name]?.withLock { $0 }?.windUp() }

  /// Ends the running calls soon. What undoes still works afterwards.
  func cancel() {
    cancelled.withLock { $0 = true }
    for host in hosts.values { host.withLock { $0 }?.cancel() }
  }

  /// Ends all hosts.
  func end() {
    let all = hosts.values.compactMap { slot in
      slot.withLock { host in
        defer { host = nil }
        return host
      }
    }
    _ = try? Threads.map(all) { $0.end() }
  }

  private func host(for name: String) throws -> HostProcess {
    let item = try item(name)
    guard let slot = hosts[name] else { throw FerryError(.internal, "there is no place for '\(name)'") }
    return try slot.withLock { current in
      if let host = current, host.isAlive { return host }
      let report = surroundings.report
      let state = "\(folder)/items/\(name)"
      try Files.makeFolder(state)
      let host = try HostProcess.start(
        HostSettings(
          executable: surroundings.executable, plugin: try surroundings.plugins.provider(item.provider), provider: item.provider,
          side: record.side, run: record.run, item: name, config: item.endpointConfig(record.side, record.mode), folder: state,
          secrets: try secrets.resolve(item), stall: stall,
          onLog: { report(.log(item: name, level: $0, text: $1)) },
          onProgress: { report(.progress(item: name, $0)) }))
      if record.epoch > 0 { try processes.add(host.identity) }
      current = host
      return host
    }
  }
}

/// What happens on a node while it works.
enum NodeReport: Sendable {
  case log(item: String?, level: LogLevel, text: String)
  case progress(item: String, ProgressReport)
  case service(ServiceEvent)
}

extension ProviderCall {
  /// Calls that lead back or clean up: a cancelled run still makes them.
  var undoes: Bool { [.thaw, .deactivate, .discard, .release].contains(self) }
}

extension ItemSpec {
  /// The provider's keys as one side gets them: that side's end under `endpoint`, and what the manifest says beside them.
  func endpointConfig(_ side: Side, _ mode: Manifest.Mode) -> JSONValue {
    var config = config
    config["endpoint"] = self.config[side == .source ? "from" : "to"] ?? [:]
    config["from"] = nil
    config["to"] = nil
    config["allow-empty"] = .bool(allowEmpty)
    config["run-mode"] = .string(mode.rawValue)
    return config
  }

  /// What a target lock is about: no two runs use the same one.
  func target(_ side: Side) -> String { "\(provider) \((config[side == .source ? "from" : "to"] ?? [:]).text)" }
}

/// The order that `after:` asks for.
enum ItemOrder {
  /// Items such that each comes after those it names; else in the manifest's order.
  static func sorted(_ items: [ItemSpec]) -> [ItemSpec] { waves(items).flatMap { $0 } }

  /// Groups that may go at once, one group after another. The manifest's loader has refused circles.
  static func waves(_ items: [ItemSpec]) -> [[ItemSpec]] {
    var waves: [[ItemSpec]] = []
    var done: Set<String> = []
    var left = items
    while !left.isEmpty {
      let next = left.filter { $0.after.allSatisfy { name in done.contains(name) || !items.contains { $0.name == name } } }
      guard !next.isEmpty else { return waves + [left] }
      waves.append(next)
      done.formUnion(next.map(\.name))
      left.removeAll { item in next.contains { $0.name == item.name } }
    }
    return waves
  }
}
