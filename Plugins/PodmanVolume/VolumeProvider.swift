import FerryEngine
import FerryPluginKit
import FerryTree
import Glibc

/// Volumes of an engine, one or many in one item. What both engines have in common, which is all of it but the name.
class VolumeProvider {
  let context: ProviderContext
  let kind: EngineKind
  let config: VolumeConfig
  private var opened: ContainerEngine?
  private let senders = Kept<TreeSender>()
  private let receivers = Kept<TreeReceiver>()

  init(_ context: ProviderContext, _ kind: EngineKind) throws {
    self.context = context
    self.kind = kind
    config = try context.decodeConfig()
  }

  /// The engine, opened when it is first needed: most calls of a run need it, but what was received can be digested without.
  func engine() throws -> ContainerEngine {
    if let opened { return opened }
    let engine = try ContainerEngine(kind, at: config.endpoint.engine, folder: context.temporaryFolder) { [context] in context.cancellation
    }
    opened = engine
    return engine
  }

  private var source: VolumeSource { VolumeSource(provider: self) }
  private var destination: VolumeDestination { VolumeDestination(provider: self) }

  func check() throws -> CheckReport {
    let check = VolumeCheck(provider: self)
    return context.side == .source ? try check.source() : try check.destination()
  }

  func prepare() throws -> Offer { try destination.prepare() }
  func prepare(for offer: Offer) throws { try source.prepare(offer) }
  func transfer(_ pass: Pass) throws -> PassReport { try source.transfer(pass) }
  func receive(_ pass: Pass) throws -> PassReport { try destination.receive(pass) }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    context.side == .source ? try source.digest(request) : try destination.digest(request)
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

  /// The sending end of a volume's tree. It lives on: what it has learned of large files is in its memory alone.
  func sender(_ index: Int, _ folder: String, _ form: TreeForm) throws -> TreeSender {
    try senders.get(index) { try TreeSender(root: folder, state: state(index), options: treeOptions(form, $0)) }
  }

  /// The receiving end of a volume's tree, as long as it is staged.
  func receiver(_ index: Int, _ folder: String, _ form: TreeForm) throws -> TreeReceiver {
    try receivers.get(index) { try TreeReceiver(root: folder, state: state(index), options: treeOptions(form, $0)) }
  }

  func treeOptions(_ form: TreeForm, _ cancellation: Cancellation? = nil) -> TreeOptions {
    let context = context
    var options = TreeOptions(form: form)
    options.cancellation = cancellation ?? context.cancellation
    options.progress = { context.progress(bytes: $0, entries: $1) }
    options.notice = { context.log(.info, $0) }
    return options
  }

  /// Where a tree's end keeps its memory.
  func state(_ index: Int) -> String { "\(context.temporaryFolder)/tree-\(index)" }
}
