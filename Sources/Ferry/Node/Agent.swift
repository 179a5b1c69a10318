import FerrySystem
import FoundationEssentials
import Glibc

/// One node's end of a run: answers the controller over stdin and stdout, and drives its `NodeSession`. Ends with the connection.
final class Agent: Sendable {
  private let configuration: Engine.Configuration
  private let home: String
  private let session = Lock<OpenSession?>(nil)
  private let connection = Lock<RPCConnection?>(nil)

  private struct OpenSession: Sendable {
    let node: NodeSession
    let request: OpenRequest
    let channels: ChannelDesk
    /// A visitor's home.
    let place: TransientFolder?
  }

  /// An agent for a node's home.
  init(home: String, configuration: Engine.Configuration) {
    self.home = home
    self.configuration = configuration
  }

  /// Serves until the controller is gone, then ends what it started.
  func serve(input: Descriptor, output: Descriptor) {
    let connection = RPCConnection(
      LineConnection(input: input, output: output), to: "the controller",
      handler: { method, params, _ in
        guard let method = AgentMethod(rawValue: method) else {
          throw FerryError(
            .unsupported, "this agent (ferry \(ferryVersion)) has no method '\(method.prefix(40))'", hint: "use the same ferry at both ends"
          )
        }
        return try self.answer(method, params)
      })
    self.connection.withLock { $0 = connection }
    connection.serve()
    guard let open = session.withLock({ $0 }) else { return }
    open.node.end()
    open.channels.abort()
    open.place?.remove()
  }

  private func answer(_ method: AgentMethod, _ params: JSONValue) throws -> JSONValue {
    switch method {
    case .hello: return try hello()
    case .open: return try open(params.decode())
    default: break
    }
    guard let open = session.withLock({ $0 }) else { throw FerryError(.invalid, "'\(method.rawValue)' came before 'open'") }
    guard !open.request.visitor || [.call, .checkServices, .listen, .connect, .drop, .cancel, .compare].contains(method) else {
      throw FerryError(.invalid, "'\(method.rawValue)' came from a controller that only looks")
    }
    switch method {
    case .checkServices: return try JSONValue(encoding: open.node.services.check())
    case .call: return try JSONValue(encoding: call(params.decode(), in: open))
    case .listen: return try JSONValue(encoding: open.channels.listen(params.decode()))
    case .connect: try open.channels.connect(params.decode())
    case .drop: open.channels.drop(params["channel"]?.string ?? "")
    case .compare: return try JSONValue(encoding: compare(params.decode(), in: open))
    default: return try act(method, params, open)
    }
    return [:]
  }

  private func act(_ method: AgentMethod, _ params: JSONValue, _ open: OpenSession) throws -> JSONValue {
    let node = open.node
    switch method {
    case .cancel:
      node.cancel()
      open.channels.abort()
    case .windUp: node.windUp(params["item"]?.string ?? "")
    case .hooks:
      let request = try params.decode(HooksRequest.self)
      let report = node.surroundings.report
      return try HookRunner(folder: "\(node.folder)/hooks").run(
        request.hooks, input: request.input,
        environment: FerryProgram(executable: node.surroundings.executable, plugins: node.surroundings.pluginFolders).environment,
        timeout: request.timeout, onLog: { report(.log(item: nil, level: .info, text: $0)) })
    case .touch:
      guard try node.surroundings.store.record(node.record.run, .source)?.epoch == node.epoch else { break }
      try Watchdog.touch(folder: node.folder, for: open.request.watchdog)
    case .record: return try JSONValue(encoding: node.surroundings.store.record(node.record.run, node.record.side))
    case .quiesce: try node.quiesce(watchdog: open.request.watchdog)
    case .thaw: return try JSONValue(encoding: StartReply(watched: node.thaw().inSeconds))
    case .seal: try node.seal(verified: params.decode(VerifiedRequest.self).verified)
    case .unseal: try node.unseal(confirmed: params.decode(UnsealRequest.self).confirmed)
    case .retire: try node.retire()
    case .proven: try node.noteProven(params.decode(VerifiedRequest.self).verified)
    case .activate: try node.activate()
    case .letGo: try node.letGo()
    case .start: return try JSONValue(encoding: StartReply(watched: node.start().inSeconds))
    case .deactivate: try node.deactivate(evenIfStarted: params.decode(DeactivateRequest.self).evenIfStarted)
    case .renounce: return .int(Int64(try node.renounce()))
    case .discard: try node.discard()
    case .release: try node.release()
    case .finish: try node.finish()
    case .hello, .open, .call, .listen, .connect, .drop, .checkServices, .compare: break
    }
    return [:]
  }

  private func hello() throws -> JSONValue {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, 255)
    let host = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return try JSONValue(
      encoding: HelloReply(
        protocol: AgentProtocolVersion.current, ferry: ferryVersion, host: host, home: home, process: .current, ssh: .current))
  }

  private func open(_ request: OpenRequest) throws -> JSONValue {
    guard session.withLock({ $0 == nil }) else { throw FerryError(.invalid, "this agent serves a session already") }
    let proposal = request.record
    let sent = request.secrets.mapValues { $0.compactMapValues { Data(base64Encoded: $0).map { Array($0) } } }
    let controller = connection.withLock { $0 }
    let report: @Sendable (NodeReport) -> Void = { if let controller { Agent.tell(controller, $0) } }
    var store = NodeStore(home: home)
    var record = proposal
    var place: TransientFolder?
    if request.visitor {
      // What a look needs on disk goes with it.
      let known = store.folder(try NodeStore.checked(run: proposal.run), proposal.side)
      let own = try TransientFolder("\(Environment.temporaryFolder)/ferry-look", orSay: "cannot make a temporary folder")
      place = own
      store = NodeStore(home: own.path)
      let folder = store.folder(proposal.run, proposal.side)
      try Files.makeFolder(folder)
      for item in proposal.items { try HostMemory.copy(from: "\(known)/items/\(item.name)/kv", to: "\(folder)/items/\(item.name)/kv") }
      record.epoch = 0
    } else {
      if let old = try store.record(proposal.run, proposal.side) {
        guard old.epoch < proposal.epoch else {
          throw FerryError(.conflict, "session \(proposal.epoch) of run \(old.run) is too old: session \(old.epoch) has taken over")
        }
        // Before the lock: what is left of an earlier session may hold it, stopped or hanging.
        try SessionProcesses(folder: store.folder(proposal.run, proposal.side)).killAll()
      }
      record = try store.open(proposal)
      try SessionProcesses(folder: store.folder(record.run, record.side)).add(.current)
    }
    let catalog = try configuration.catalog()
    let node = NodeSession(
      NodeSession.Surroundings(
        store: store, plugins: catalog, pluginFolders: configuration.pluginFolders,
        executable: configuration.executable,
        report: report), record: record, epoch: record.epoch, secrets: SecretResolver(sent: sent), stall: request.stall)
    let channels = ChannelDesk(home: store.home, side: record.side, bandwidth: record.side == .source ? request.bandwidth : nil)
    session.withLock { $0 = OpenSession(node: node, request: request, channels: channels, place: place) }
    let providers = Set(record.items.map(\.provider))
    let plugins = Dictionary(uniqueKeysWithValues: providers.compactMap { id in (try? catalog.provider(id)).map { (id, $0) } })
    return try JSONValue(encoding: OpenReply(record: record, plugins: plugins))
  }

  private static func tell(_ controller: RPCConnection, _ report: NodeReport) {
    switch report {
    case .log(let item, let level, let text):
      controller.notify(
        AgentNotification.log.rawValue,
        ["item": item.map { .string($0) } ?? .null, "level": .int(Int64(level.rawValue)), "text": .string(text)])
    case .progress(let item, let progress):
      guard var params = try? JSONValue(encoding: progress) else { return }
      params["item"] = .string(item)
      controller.notify(AgentNotification.progress.rawValue, params)
    case .service(let event):
      guard let params = try? JSONValue(encoding: event) else { return }
      controller.notify(AgentNotification.service.rawValue, params)
    }
  }
}

// MARK: Calls and channels

extension Agent {
  private func call(_ request: CallRequest, in open: OpenSession) throws -> CallReply {
    let node = open.node
    let item = try node.item(request.item)
    switch request.call {
    case .check, .digest, .snapshots, .recall: break
    case .prepare, .transfer, .receive, .deposit:
      guard !open.request.visitor else { throw FerryError(.invalid, "'\(request.call.rawValue)' came from a controller that only looks") }
      // A destination that has renounced an earlier attempt is asked again: the source serves, so it may receive anew.
      try node.exclusively { held in
        if request.call == .prepare, held.record.state == .renounced { try held.update { $0.state = .inactive } }
      }
      if request.call == .prepare {
        try node.surroundings.store.lock(item.target(node.record.side), run: node.record.run, side: node.record.side)
      }
    default: throw FerryError(.invalid, "'\(request.call.rawValue)' is not called by itself")
    }
    var flags: PassFlags = []
    if request.first { flags.insert(.first) }
    if request.final { flags.insert(.final) }
    if request.full { flags.insert(.fullDigest) }
    var arguments = request.arguments
    if request.keepListing { arguments["listing"] = .string("\(node.folder)/\(request.item).listing") }
    let began = ContinuousClock.now
    guard let name = request.channel else {
      let result = try node.call(request.call, request.item, pass: request.pass, flags: flags, arguments: arguments)
      if request.call == .prepare { try noteOffer(result, request, node) }
      return CallReply(result: result, seconds: began.duration(to: .now).inSeconds)
    }
    let (mine, plugins) = try Descriptor.socketPair()
    // A whole block fits: its sender need not wait for a reader.
    for end in [mine, plugins] { Sockets.widen(end.number, to: BlockHeader.largest * 2) }
    let pump = try open.channels.pump(name, plugin: mine)
    defer { open.channels.done(name) }
    let result = Result {
      try node.call(request.call, request.item, pass: request.pass, flags: flags, channels: [plugins], arguments: arguments)
    }
    plugins.close()
    // A failed end cannot know how far the other has come: both directions end at once, and the other end fails too.
    if case .failure = result { pump.abort() }
    // What broke the channel comes before what a plugin says of it.
    let counts = try pump.finish()
    return CallReply(result: try result.get(), counts: counts, seconds: began.duration(to: .now).inSeconds)
  }

  private func noteOffer(_ result: JSONValue, _ request: CallRequest, _ node: NodeSession) throws {
    let isMaker = node.record.side == .destination || request.arguments["deferred"] == .bool(true)
    let offer = isMaker ? result : request.arguments["offer"] ?? [:]
    try node.exclusively { held in try held.update { $0.offers[request.item] = offer } }
  }

  private func compare(_ request: CallRequest, in open: OpenSession) throws -> CompareReply {
    let kept = "\(NodeStore(home: home).folder(open.node.record.run, .destination))/\(request.item).listing"
    let fresh = "\(open.node.folder)/\(request.item).listing.now"
    defer { try? Files.remove(fresh) }
    var arguments = request.arguments
    if Files.exists(kept) { arguments["listing"] = .string(fresh) }
    let result = try open.node.call(.digest, request.item, flags: .fullDigest, arguments: arguments)
    let drift = Files.exists(kept) && Files.exists(fresh) ? try ListingComparison.compare(kept, fresh) : nil
    return CompareReply(
      root: result["root"]?.string ?? "", entries: result["entries"]?.int ?? 0, bytes: result["bytes"]?.int ?? 0, drift: drift)
  }
}
