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

  func treeOptions(_ form: TreeForm) -> TreeOptions {
    let context = context
    var options = TreeOptions(form: form)
    options.cancellation = context.cancellation
    options.progress = { context.progress(bytes: $0, entries: $1) }
    options.notice = { context.log(.info, $0) }
    return options
  }

  /// Where a tree's end keeps its memory.
  func state(_ index: Int) -> String { "\(context.temporaryFolder)/tree-\(index)" }
}
