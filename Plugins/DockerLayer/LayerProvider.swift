import FerryEngine
import FerryPluginKit
import FerryTree
import Glibc

/// A container's writable layer. What both engines have in common, which is all of it but the name.
class LayerProvider {
  let context: ProviderContext
  let kind: EngineKind
  let config: LayerConfig
  private var opened: ContainerEngine?
  private let senders = Kept<TreeSender>()
  private let receivers = Kept<TreeReceiver>()

  init(_ context: ProviderContext, _ kind: EngineKind) throws {
    self.context = context
    self.kind = kind
    config = try context.decodeConfig()
  }

  /// The engine, opened when it is first needed.
  func engine() throws -> ContainerEngine {
    if let opened { return opened }
    let engine = try ContainerEngine(kind, at: config.endpoint.engine, folder: context.temporaryFolder) { [context] in context.cancellation
    }
    opened = engine
    return engine
  }

  /// The container of that name, or an error that says what there is.
  func container(_ name: String) throws -> EngineContainer {
    let engine = try engine()
    guard let container = try engine.container(name) else {
      throw FerryError(.notFound, "\(kind.title) has no container \(name)", hint: "\(kind.rawValue) ps --all lists what there is")
    }
    return container
  }

  /// The layers of a container's image, lowest first: the same content has the same names on every machine.
  func base(_ container: EngineContainer) throws -> [String] {
    guard let layers = try engine().image(container.image)?["RootFS"]?["Layers"]?.array?.compactMap(\.string) else {
      throw FerryError(.precondition, "the image of the container \(container.name) is gone: \(container.image)")
    }
    return layers
  }

  private var source: LayerSource { LayerSource(provider: self) }
  private var destination: LayerDestination { LayerDestination(provider: self) }

  func check() throws -> CheckReport { context.side == .source ? try source.check() : try destination.check() }
  func prepare() throws -> Offer { try destination.prepare() }
  func prepare(for offer: Offer) throws { try source.prepare(offer) }
  func transfer(_ pass: Pass) throws -> PassReport { try source.transfer(pass) }
  func receive(_ pass: Pass) throws -> PassReport { try destination.receive(pass) }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    let depth: TreeDigestDepth = request.isFull ? .full : .sweep
    let algorithm: HashAlgorithm = request.algorithm == .sha256 ? .sha256 : .xxh3
    let result =
      context.side == .source
      ? try source.digest(depth, algorithm, request.listing)
      : try destination.receiver(request).digest(depth, algorithm: algorithm, listing: request.listing)
    return DigestReport(root: result.root, entries: result.entries, bytes: result.bytes)
  }

  func activate() throws { try destination.activate() }
  func deactivate() throws { try destination.deactivate() }

  func discard() throws {
    if context.side == .destination { try destination.discard() }
  }

  func release() throws {
    if context.side == .destination { try destination.release() }
  }

  func retire() throws { try source.retire() }

  func cancel() {
    senders.cancel()
    receivers.cancel()
  }

  /// The sending end of the layer. It lives on: what it has learned of large files is in its memory alone.
  func sender(_ folder: String, _ form: TreeForm) throws -> TreeSender {
    try senders.get(0) { try TreeSender(root: folder, state: state, options: treeOptions(form, $0)) }
  }

  /// The receiving end of the layer, as long as it is staged.
  func receiver(_ folder: String, _ form: TreeForm) throws -> TreeReceiver {
    try receivers.get(0) { try TreeReceiver(root: folder, state: state, options: treeOptions(form, $0)) }
  }

  func treeOptions(_ form: TreeForm, _ cancellation: Cancellation? = nil) -> TreeOptions {
    let context = context
    var options = TreeOptions(form: form)
    options.cancellation = cancellation ?? context.cancellation
    options.progress = { context.progress(bytes: $0, entries: $1) }
    options.notice = { context.log(.info, $0) }
    return options
  }

  /// Where the tree's end keeps its memory.
  var state: String { "\(context.temporaryFolder)/tree" }

  /// A report that holds what kept it from being complete.
  func report(_ look: (inout CheckReport, ContainerEngine) throws -> Void) throws -> CheckReport {
    var report = CheckReport()
    do {
      let engine = try engine()
      report.versions[engine.kind.rawValue] = engine.info.version
      try look(&report, engine)
    } catch let error as FerryError where error.class != .cancelled {
      report.notices.append(.init(.error, error.message, hint: error.hint))
    }
    return report
  }
}
