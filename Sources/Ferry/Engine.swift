import FerrySystem
import Glibc

/// The one door: everything that the `ferry` command does, it does through here.
///
/// Methods may be called from any task; each does its blocking work on threads of its own.
public final class Engine: Sendable {
  /// Where an engine keeps things and what it uses.
  public struct Configuration: Sendable {
    /// The journal, event logs and receipts of this controller.
    public var stateFolder: String
    /// Where plugins are looked for; earlier folders win.
    public var pluginFolders: [String]
    /// The `ferry` program: agents, hosts and watchdogs are further processes of it.
    public var executable: String
    /// Whether the stderr of agents is dropped. Their logs come as events in any case.
    public var quiet = true
    /// The configuration file of ssh in place of the user's own: `FERRY_SSH_CONFIG`.
    public var sshConfig: String? = Environment.all["FERRY_SSH_CONFIG"].flatMap { $0.isEmpty ? nil : Files.absolute($0) }
    /// What strikes at a point of a run, for tests that prove what a loss leaves behind; nil: nothing. docs/runs.md has the words.
    public var faults: String?

    /// The key of each direct channel. A test's own tells whether it shows up anywhere.
    var newKey: @Sendable () -> ChannelKey = { ChannelKey() }

    /// What a given `ferry` program would use: plugins from `FERRY_PLUGINS` (folders, with colons between) or else beside the program in
    /// `../lib/ferry/plugins`, state in `FERRY_STATE` or else where the user's own is kept.
    public init(executable: String, stateFolder: String? = nil, pluginFolders: [String]? = nil) {
      self.executable = executable
      self.stateFolder = Files.absolute(stateFolder ?? Environment.all["FERRY_STATE"] ?? "\(NodeStore.defaultHome)/controller")
      let told = Environment.all["FERRY_PLUGINS"]?.split(separator: ":").map(String.init)
      self.pluginFolders =
        (pluginFolders ?? (told == [] ? nil : told) ?? ["\(Files.parent(of: Files.parent(of: executable)))/lib/ferry/plugins"]).map {
          Files.absolute($0)
        }
    }

    /// Where one run's event log and requests lie.
    func folder(of run: String) -> String { "\(stateFolder)/runs/\(run)" }

    /// Where the plugins' pins are: beside the first plugin folder.
    public var lockPath: String { "\(Files.parent(of: pluginFolders.first ?? "/plugins"))/ferry.lock" }

    /// What `ferry.lock` pins; nil without one.
    func pins() throws -> PluginLock? { try PluginLock.read(lockPath) }

    /// The plugins of this configuration.
    public func catalog() throws -> PluginCatalog {
      PluginCatalog(
        folders: pluginFolders, lock: try pins(), executable: executable, cache: Self.cache.map { "\($0)/plugins" })
    }

    /// What was read once and is known again, such as what plugins have said about themselves: worth keeping, and no loss.
    static var cache: String? {
      let variables = Environment.all
      return (variables["XDG_CACHE_HOME"] ?? variables["HOME"].map { "\($0)/.cache" }).map { "\($0)/ferry" }
    }
  }

  /// What this engine was made with.
  public let configuration: Configuration
  let journal: any Journal

  /// An engine that uses the `ferry` that is installed, and keeps its state where that one does.
  public convenience init() throws { try self.init(.installed()) }

  /// An engine whose journal is the SQLite file of the state folder.
  public convenience init(_ configuration: Configuration) throws {
    try self.init(configuration, journal: SQLiteJournal(path: "\(configuration.stateFolder)/journal.sqlite"))
  }

  /// An engine with a journal of the embedder's own.
  public init(_ configuration: Configuration, journal: any Journal) {
    self.configuration = configuration
    self.journal = journal
  }

  // MARK: Manifests

  /// Reads and checks a manifest. Throws `ManifestErrors` with all that is wrong in it.
  public func load(_ path: String, parameters: [String: String] = [:]) throws -> Manifest {
    try Manifest.load(path: path, parameters: parameters, providers: configuration.catalog().schemas)
  }

  /// The same from memory. `file` is its name in messages, `folder` where its relative paths start.
  public func parse(_ text: [UInt8], file: String, folder: String, parameters: [String: String] = [:]) throws -> Manifest {
    try Manifest.parse(
      text: text, file: file, folder: Files.absolute(folder), parameters: parameters, providers: configuration.catalog().schemas)
  }

  /// Asks both nodes whether the migration can be run; changes nothing there. Cancelling the task ends it.
  public func check(_ manifest: Manifest, options: RunOptions = RunOptions()) async throws -> PreflightReport {
    try options.demandFit(manifest)
    return try await Visit.run { visit in
      try self.look(manifest, visit) {
        try Preflight(manifest: manifest, options: options, pins: self.configuration.pins()).run([$0, $1]) {
          try Threads.inOrder($0, $1)
        }
      }
    }
  }

  /// What a run would do; changes nothing. Cancelling the task ends it.
  public func plan(_ manifest: Manifest, options: RunOptions = RunOptions()) async throws -> Plan {
    try options.demandFit(manifest)
    let (preflight, channel) = try await Visit.run { visit in
      try self.look(manifest, visit) { source, destination in
        (
          try Preflight(manifest: manifest, options: options, pins: self.configuration.pins()).run([source, destination]) {
            try Threads.inOrder($0, $1)
          },
          try ChannelMaker(manifest, source: source, destination: destination).describe()
        )
      }
    }
    let earlier = try journal.runs().first { $0.manifest.name == manifest.name && $0.receipt != nil }
    return Plan(
      manifest: manifest, preflight: preflight, channel: channel, phases: manifest.mode.phases,
      predictedOutage: earlier?.receipt?.outage.total, predictedFrom: earlier?.id)
  }

  // MARK: Runs

  /// Begins a run and takes it to its end; `start` does the same with events that are pulled. Cancelling the task cancels the run, which then goes back.
  /// Throws only if no run began; how a run that began has ended is in the result.
  public func run(_ manifest: Manifest, options: RunOptions = RunOptions(), onEvent: @escaping @Sendable (Event) -> Void = { _ in })
    async throws -> RunResult
  {
    try await perform(.run(manifest, options), onEvent)
  }

  /// Writes a run into the journal and answers its id, without a controller at work on it: `resume` is the first to take it up.
  public func begin(_ manifest: Manifest, options: RunOptions = RunOptions()) throws -> String {
    try options.demandFit(manifest)
    let id = Hex.random(4)
    if let hooks = manifest.hooks { _ = try HookFolder.load(hooks) }
    try journal.create(
      RunEntry(id: id, manifest: manifest, options: options, created: wallClock(), epoch: 0, controller: .current, status: .running))
    return id
  }

  /// Goes on with a run that was interrupted.
  public func resume(_ run: String, onEvent: @escaping @Sendable (Event) -> Void = { _ in }) async throws -> RunResult {
    try await perform(.resume(run), onEvent)
  }

  /// Undoes a run: the source serves as before, nothing is left at the destination. Refused once the destination serves, unless what it has
  /// accepted may be discarded.
  public func rollback(
    _ run: String, discardDestinationWrites: Bool = false, onEvent: @escaping @Sendable (Event) -> Void = { _ in }
  ) async throws -> RunResult {
    try await perform(.rollback(run, discardDestinationWrites: discardDestinationWrites), onEvent)
  }

  /// Asks the controller that is at work on a run to cancel it.
  public func cancel(_ run: String) throws { try ask(run, .cancel) }
  /// Lets a run go on that waits before a phase.
  public func proceed(_ run: String) throws { try ask(run, .proceed) }
  /// Ends the increments of a `follow` run: the destination takes over.
  public func cutover(_ run: String) throws { try ask(run, .cutover) }

  /// All runs, the newest first.
  public func history() throws -> [RunEntry] { try journal.runs() }

  /// One run, by its id or the beginning of it.
  public func find(_ run: String) throws -> RunEntry {
    guard let entry = try journal.run(run) else {
      throw FerryError(.notFound, "there is no run '\(run)'", hint: "`ferry history` lists them")
    }
    return entry
  }

  /// A run's steps, in order.
  public func steps(_ run: String) throws -> [StepEntry] { try journal.steps(find(run).id) }

  /// The events of a run so far: what its controllers said, progress left out. `offset` is where to go on reading; it is moved.
  public func events(_ run: String, from offset: inout Int) throws -> [Event] {
    let path = "\(configuration.folder(of: try find(run).id))/events.jsonl"
    guard Files.exists(path) else { return [] }
    let bytes = try Files.read(path, limit: 1 << 30)
    guard bytes.count > offset, let end = bytes.lastIndex(of: 10), end >= offset else { return [] }
    defer { offset = end + 1 }
    return try bytes[offset...end].split(separator: 10).map { try JSONValue.decode(Event.self, from: Array($0)) }
  }

  private func ask(_ run: String, _ request: RunRequests.Request) throws {
    let entry = try find(run)
    guard entry.status == .running, entry.controller?.isAlive == true else {
      throw FerryError(
        .precondition, "no controller is at work on run \(entry.id): it is \(entry.status.rawValue)",
        hint: entry.status == .running
          ? "`ferry resume \(entry.id)` goes on, `ferry rollback \(entry.id)` undoes it" : "`ferry history` lists all runs")
    }
    try RunRequests(folder: configuration.folder(of: entry.id)).post(request)
  }

  /// Visits both nodes without leaving anything there.
  private func look<Value>(_ manifest: Manifest, _ visit: Visit, _ body: (NodeConnection, NodeConnection) throws -> Value) throws -> Value {
    let secrets = try SecretResolver.controllerSecrets(of: manifest.state)
    let nodes = try Threads.map(Side.allCases) { side in
      let node = try NodeConnection(manifest.node(side), side: side, configuration: self.configuration, visit: visit) { _, _ in }
      _ = try node.open(manifest.openRequest(run: "look", side: side, epoch: 0, secrets: secrets, visitor: true))
      return node
    }
    defer { nodes.forEach { $0.close() } }
    return try body(nodes[0], nodes[1])
  }
}

extension Threads {
  /// Cells of a visit: in parallel, without a journal.
  static func inOrder(_ steps: [Step], _ act: @escaping @Sendable (Step) throws -> JSONValue) throws -> [JSONValue] {
    try map(steps, limit: 8, act)
  }
}

extension PluginCatalog {
  /// What the manifest's loader must know of these plugins.
  var schemas: ProviderSchemas {
    let providers = plugins().flatMap { $0.module?.providers ?? [] }
    return ProviderSchemas(Dictionary(providers.map { ($0.id, $0.schema) }) { first, _ in first }, folders: folders)
  }
}
