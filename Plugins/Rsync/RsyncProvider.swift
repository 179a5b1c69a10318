import FerryPluginKit
import FerryTree
import FerryTreeKit
import Glibc

/// Moves a folder with the system's rsync.
final class RsyncProvider: StateProvider {
  static let id = "rsync"
  static let summary = "moves a folder with rsync: owners, modes, times, links, attributes, ACLs, holes, devices"
  static let schema = RsyncConfig.schema
  static let formKey = "form"

  private let context: ProviderContext
  private let config: RsyncConfig
  private var source: RsyncSource { RsyncSource(context: context, config: config) }
  private var target: RsyncTarget { RsyncTarget(path: config.endpoint.path, run: context.run, kv: context.kv) }
  private var destination: RsyncDestination { RsyncDestination(context: context, config: config, target: target) }

  init(_ context: ProviderContext) throws {
    self.context = context
    config = try context.decodeConfig()
  }

  func check() throws -> CheckReport {
    let check = RsyncCheck(context: context, config: config)
    return context.side == .source ? try check.source() : try check.destination(target)
  }

  func prepare() throws -> Offer { try destination.prepare() }

  func prepare(for offer: Offer) throws {
    let offered = try offer.decode(RsyncOffer.self)
    let folder = try source.folder()
    if offered.machine == RsyncOffer.thisMachine, "\(offered.path)/".hasPrefix("\(folder)/") || "\(folder)/".hasPrefix("\(offered.path)/") {
      throw FerryError(.precondition, "source \(folder) and target \(offered.path) are the same folder, or one is in the other")
    }
    try context.kv.put(Self.formKey, try source.form(offer))
  }

  func transfer(_ pass: Pass) throws -> PassReport { try source.transfer(pass) }
  func receive(_ pass: Pass) throws -> PassReport { try destination.receive(pass) }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    guard let offered = try request.offer?.decode(RsyncOffer.self) else { throw FerryError(.internal, "the digest came without an offer") }
    guard context.side == .source else {
      // Excluded files never arrive: what is there is what was selected.
      let root = try target.current(active: request.target == .active)
      let selection = config.keep.map { target.selection(keeping: $0) }
      return try digest(request, .init(root, selection: selection), form: context.kv.get(Self.formKey) ?? offered.form)
    }
    let form = try context.kv.get(Self.formKey) ?? source.form(request.offer)
    return try digest(request, .init(source.folder(), selection: source.selection(form)), form: form)
  }

  private func digest(_ request: DigestRequest, _ tree: DigestRequest.Tree, form: TreeForm) throws -> DigestReport {
    try request.compute([tree], form: form, owners: config.owners(), context)
  }

  func activate() throws { try target.activate(keeping: config.keep ?? []) }
  func deactivate() throws { try target.deactivate(keeping: config.keep ?? []) }
  func discard() throws { if context.side == .destination { try target.discard(keeping: config.keep ?? []) } }
  func release() throws { if context.side == .destination { try target.release() } }
  func retire() throws { try source.retire() }
}
