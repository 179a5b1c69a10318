import FerrySystem

/// One controller session of one run. What happened before is never kept in memory: a session reads the journal and both nodes' records, so a
/// run that goes on after a crash and one that was never interrupted take the same way.
final class RunDriver: Sendable {
  let configuration: Engine.Configuration
  let journal: any Journal
  let entry: RunEntry
  let events: EventSink
  let requests: RunRequests
  let cancellation: Cancellation
  private let nodes = Lock<[Side: NodeConnection]>([:])
  private let maker = Lock<ChannelMaker?>(nil)
  private let opening = Lock<FaultInjection?>(nil)
  /// What hooks have said so far, merged; later hooks see it.
  let hookContext = Lock<JSONValue>([:])
  let hooks: [Hook]
  /// The latest pass that this session knows of.
  let lastPass = Lock<Int?>(nil)
  /// The phase that the session is in.
  let current = Lock<Phase?>(nil)

  var manifest: Manifest { entry.manifest }
  var id: String { entry.id }

  init(
    configuration: Engine.Configuration, journal: any Journal, entry: RunEntry, requests: RunRequests, cancellation: Cancellation,
    events: EventSink
  ) throws {
    self.configuration = configuration
    self.journal = journal
    self.entry = entry
    self.requests = requests
    self.cancellation = cancellation
    self.events = events
    hooks = try entry.manifest.hooks.map { try HookFolder.load($0) } ?? []
  }

  // MARK: Nodes

  func node(_ side: Side) throws -> NodeConnection {
    guard let node = nodes.withLock({ $0[side] }) else { throw FerryError(.internal, "the \(side) is not connected") }
    return node
  }
  var source: NodeConnection { get throws { try node(.source) } }
  var destination: NodeConnection { get throws { try node(.destination) } }
  /// What joins them.
  var channels: ChannelMaker {
    get throws {
      guard let maker = maker.withLock({ $0 }) else { throw FerryError(.internal, "the nodes are not connected") }
      return maker
    }
  }

  /// Raises the epoch and opens both ends under it. What is left of earlier sessions on the nodes ends here.
  func open() throws {
    close()
    try journal.update(id) {
      $0.epoch += 1
      $0.controller = .current
      $0.status = .running
      $0.ended = nil
    }
    guard let epoch = try journal.run(id)?.epoch else { throw FerryError(.notFound, "there is no run \(id)") }
    let secrets = try SecretResolver.controllerSecrets(of: manifest.state)
    // Kept one by one: if only one of them can be had, `close` ends it.
    _ = try Threads.map(entry.sides) { [self] side in
      let node: NodeConnection
      do { node = try NodeConnection(manifest.node(side), side: side, configuration: configuration, report: relay(side)) } catch {
        throw epoch > 1 ? FerryError.wrap(error).midway : error
      }
      do { _ = try node.open(manifest.openRequest(run: id, side: side, epoch: epoch, secrets: secrets)) } catch {
        node.close()
        throw FerryError.wrap(error).inside(node.name)
      }
      nodes.withLock { $0[side] = node }
    }
    if entry.options.half == nil {
      let made = try ChannelMaker(
        manifest, source: source, destination: destination, newKey: configuration.newKey,
        notice: { [events] text in events.emit(.notice) { $0.text = text } })
      maker.withLock { $0 = made }
    }
    if opening.withLock({ $0 == nil }) { opening.withLock { $0 = faults() } }
  }

  /// Ends both agents.
  func close() {
    let open = nodes.withLock { nodes in
      defer { nodes = [:] }
      return Array(nodes.values)
    }
    for node in open { node.close() }
  }

  /// Whether a node, or the line to it, is gone.
  var hasLostNode: Bool { nodes.withLock { nodes in nodes.count < entry.sides.count || nodes.values.contains { $0.isLost } } }

  /// Whether waiting may mend a failure: a node that was there, or the line to it, is gone, or it could not be reached. One that was reached
  /// and refuses (a key, a version, a missing program) will refuse again.
  func mayMend(_ failure: FerryError) -> Bool {
    nodes.withLock { nodes in
      if nodes.values.contains(where: \.isLost) { return true }
      return nodes.count < entry.sides.count && [.peer, .io, .retry].contains(failure.class)
    }
  }

  /// Ends the running calls of both ends.
  func interrupt() { for node in nodes.withLock({ Array($0.values) }) { _ = try? node.send(.cancel) } }

  private func faults() -> FaultInjection {
    // It belongs to the driver: held by it alone, or a process that outlives its runs would keep them all.
    FaultInjection(configuration.faults) { [weak self] target in
      guard let self else { return [] }
      let side: Side = target.hasPrefix("source") || target == "watchdog" ? .source : .destination
      guard let node = nodes.withLock({ $0[side] }) else { return [] }
      if target.hasSuffix("agent") { return [node.agent] }
      // The hosts of tests share this machine's processes, and not its folders.
      let root = node.isLocal ? "" : "/proc/\(node.agent.pid)/root"
      let folder = NodeStore(home: root + node.hello.home).folder(id, side)
      let file = target == "watchdog" ? "watchdog" : "processes"
      let lines = ((try? Files.read("\(folder)/\(file)")) ?? []).split(separator: 10)
      return lines.compactMap { try? JSONValue.decode(ProcessIdentity.self, from: Array($0)) }.filter { $0 != node.agent }
    }
  }

  private func relay(_ side: Side) -> @Sendable (AgentNotification, JSONValue) -> Void {
    { [events] kind, params in
      switch kind {
      case .log:
        events.emit(.log) {
          $0.side = side
          $0.item = params["item"]?.string
          $0.level = params["level"]?.int.map { Int($0) }
          $0.text = params["text"]?.string
        }
      case .progress:
        events.emit(.progress) {
          $0.side = side
          $0.item = params["item"]?.string
          $0.bytes = params["bytes"]?.int
          $0.bytesTotal = params["bytesTotal"]?.int
          $0.entries = params["entries"]?.int
          $0.entriesTotal = params["entriesTotal"]?.int
        }
      case .service:
        events.emit(.service) {
          $0.side = side
          $0.item = params["service"]?.string
          $0.text = [params["act"]?.string, params["detail"]?.string].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: ": ")
          if case .double(let seconds) = params["seconds"] { $0.seconds = seconds }
        }
      }
    }
  }

  // MARK: Steps

  /// Journals what is about to be done, does it, and journals what came of it. A point for faults after each commit.
  @discardableResult func step(_ step: Step, _ act: () throws -> JSONValue) throws -> JSONValue {
    let ids = try journal.intend(id, [step])
    fault("\(step.key) intended")
    let result = Result(catching: act)
    try journal.conclude(ids.map { ($0, result.outcome) })
    fault("\(step.key) concluded")
    return try result.get()
  }

  /// A column: one intent for all cells, the cells in parallel as `after:` and `parallel` allow, one commit for what came of them.
  func column(_ steps: [Step], _ act: @escaping @Sendable (Step) throws -> JSONValue) throws -> [JSONValue] {
    guard !steps.isEmpty else { return [] }
    let ids = try journal.intend(id, steps)
    fault("\(steps[0].columnKey) intended")
    let outcomes = Lock<[Int: Result<JSONValue, any Error>]>([:])
    for wave in ItemOrder.waves(manifest.state) {
      let names = Set(wave.map(\.name))
      let cells = steps.indices.filter { steps[$0].item.map(names.contains) ?? false }
      _ = try Threads.map(cells, limit: manifest.limits.parallel) { index in
        let result = Result { try act(steps[index]) }
        outcomes.withLock { $0[index] = result }
      }
      if outcomes.withLock({ $0.values.contains { if case .failure = $0 { true } else { false } } }) { break }
    }
    let results = outcomes.withLock { $0 }
    try journal.conclude(results.sorted { $0.key < $1.key }.map { (ids[$0.key], $0.value.outcome) })
    fault("\(steps[0].columnKey) concluded")
    return try steps.indices.compactMap { try results[$0]?.get() }
  }

  func fault(_ name: String) { opening.withLock { $0 }?.reached(name) }

  func throwIfCancelled() throws {
    if cancellation.isCancelled || requests.isPosted(.cancel) { throw FerryError(.cancelled, "the run was cancelled") }
  }
}

extension Result where Success == JSONValue, Failure == any Error {
  fileprivate var outcome: Outcome {
    switch self {
    case .success(let value): .done(value)
    case .failure(let error): .failed(FerryError.wrap(error))
    }
  }
}

extension FerryError {
  /// The same in the middle of a run, where something was changed before.
  fileprivate var midway: FerryError { FerryError(`class`, message, hint: hint.replacing("; nothing was changed", with: ""), code: code) }
}

extension Step {
  /// The column that a cell belongs to.
  fileprivate var columnKey: String {
    var column = self
    column.item = nil
    return column.key
  }
}

extension Manifest {
  func node(_ side: Side) -> NodeSpec { side == .source ? source : destination }

  func openRequest(run: String, side: Side, epoch: Int, secrets: [String: [String: String]] = [:], visitor: Bool = false) -> OpenRequest {
    OpenRequest(
      record: NodeRecord(
        run: run, side: side, name: name, mode: mode, epoch: epoch, state: side == .source ? .serving : .inactive, items: state,
        digestAlgorithm: digestAlgorithm, services: services, offers: [:], verified: [:], finished: false),
      visitor: visitor, secrets: secrets, stall: limits.stall, bandwidth: limits.bandwidth, watchdog: cutover.watchdog)
  }
}
