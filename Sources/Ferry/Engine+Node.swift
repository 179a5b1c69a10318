import FerrySystem

/// What a person does on a node itself, without the journal: when the controller or its disk is gone.
public struct LocalNode: Sendable {
  private let store: NodeStore
  private let configuration: Engine.Configuration

  /// The node of this machine with that home, or the default one.
  public init(home: String? = nil, configuration: Engine.Configuration) {
    store = NodeStore(home: home.map { Files.absolute($0) } ?? NodeStore.defaultHome)
    self.configuration = configuration
  }

  /// All that this node knows about runs.
  public func records() throws -> [NodeRecord] { try store.records() }

  /// The locks on this node's targets.
  public func locks() -> [TargetLock] { store.locks() }

  /// Brings a quiesced source back.
  public func thaw(_ run: String, report: @escaping @Sendable (String) -> Void) throws {
    try act(run, .source, report) { try $0.thaw(note: "brought back by a person") }
  }

  /// Gives a sealed source back to its services. The person vouches that the destination does not serve and will not.
  public func unseal(_ run: String, report: @escaping @Sendable (String) -> Void) throws {
    try act(run, .source, report) { try $0.unseal(confirmed: true) }
  }

  /// Brings a verified destination into service. The person vouches that the source does not serve and will not.
  public func activate(_ run: String, report: @escaping @Sendable (String) -> Void) throws {
    try act(run, .destination, report) { node in
      if node.record.state == .inactive || node.record.state == .activating {
        guard !node.record.offers.isEmpty else {
          throw FerryError(
            .precondition, "run \(run) has not prepared anything here",
            hint: "only a destination that has received everything can be activated")
        }
        try node.proveReceived()
        try node.activate()
      }
      try node.start()
    }
  }

  private func act(_ run: String, _ side: Side, _ report: @escaping @Sendable (String) -> Void, _ body: (NodeSession) throws -> Void) throws
  {
    guard let record = try store.record(run, side) else {
      throw FerryError(
        .notFound, "this node knows no run \(run) as \(side.rawValue)",
        hint: "its home is \(store.home); `ferry node status --home DIR` looks at another")
    }
    // The session that this person takes over from must not act any more.
    try SessionProcesses(folder: store.folder(record.run, side)).killAll()
    let surroundings = NodeSession.Surroundings(
      store: store, plugins: try configuration.catalog(), pluginFolders: configuration.pluginFolders, executable: configuration.executable,
      report: { what in
        switch what {
        case .service(let event): report("\(event.service) \(event.act.rawValue)")
        case .log(let item, _, let text): report(item.map { "\($0): \(text)" } ?? text)
        case .progress: break
        }
      })
    let node = NodeSession(surroundings, record: record, epoch: nil)
    defer { node.end() }
    try body(node)
  }
}
