import FerryPluginKit
import FerryTree
import FerryTreeKit
import Glibc

/// Moves a folder through a restic repository.
final class ResticProvider: StateProvider {
  static let id = "restic"
  static let summary = "backs a folder up into a restic repository, and restores it from there"
  static let schema = ResticConfig.schema

  let context: ProviderContext
  let config: ResticConfig
  let target: StagedFolder
  var source: ResticSource { ResticSource(context: context, config: config, memory: memory) }
  var destination: ResticDestination { ResticDestination(context: context, config: config, target: target, memory: memory) }

  /// Of this process.
  let memory = ResticMemory()

  static let formKey = "form"

  init(_ context: ProviderContext) throws {
    self.context = context
    config = try context.decodeConfig()
    let kv = context.kv
    target = StagedFolder(
      path: config.endpoint.path, run: context.run,
      memory: .init(get: { try kv.get("received") }, put: { try kv.put("received", $0) }))
    _ = try ResticLocation(config.repository)
  }

  func check() throws -> CheckReport {
    let check = ResticCheck(context: context, config: config, memory: memory)
    return context.side == .source ? try check.source() : try check.destination(target)
  }

  func prepare() throws -> Offer { try destination.prepare() }

  func prepare(for offer: Offer) throws {
    _ = try source.folder()
    try context.kv.put(Self.formKey, try form(offer))
    let repository = try ResticRepository(context, config, memory)
    if repository.isKeeper { try repository.open() }
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    try note(pass)
    if !pass.isFinal { try TreeFolder(root: source.folder()).flush() }
    return try source.transfer(pass)
  }

  func receive(_ pass: Pass) throws -> PassReport {
    try note(pass)
    return try destination.receive(pass)
  }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    let trees = try context.side == .source ? source.trees() : destination.trees(active: request.target == .active)
    return try request.compute(
      trees, form: context.kv.get(Self.formKey) ?? form(request.offer), owners: ResticModule(context, config.endpoint)?.owners(), context)
  }

  func activate() throws { try destination.activate() }
  func deactivate() throws { try destination.deactivate() }

  func discard() throws {
    if context.side == .destination { try destination.discard() }
    try keeper()?.undo()
  }

  func release() throws {
    if context.side == .destination { try destination.release() }
    try keeper()?.tidy()
  }

  func retire() throws { try source.retire() }

  func keeper() throws -> ResticKeeper? {
    let repository = try ResticRepository(context, config, memory)
    return repository.isKeeper ? ResticKeeper(context: context, config: config, repository: repository) : nil
  }

  func note(_ pass: Pass) throws { try keeper()?.note(pass) }

  /// What of the destination's form this end can read.
  private func form(_ offer: Offer?) throws -> TreeForm {
    guard let offered = try offer?.decode(ResticOffer.self) else { throw FerryError(.internal, "the call came without an offer") }
    guard context.side == .source else { return offered.form }
    return offered.form.common(with: TreeForm(attributes: geteuid() == 0 ? .all : .user))
  }
}
