import FerryPluginKit
import FerryTree
import Glibc

/// Moves a folder through a restic repository.
final class ResticProvider: StateProvider {
  static let id = "restic"
  static let summary = "backs a folder up into a restic repository, and restores it from there"
  static let schema = ResticConfig.schema

  let context: ProviderContext
  let config: ResticConfig
  let target: StagedFolder
  var source: ResticSource { ResticSource(context: context, config: config) }
  var destination: ResticDestination { ResticDestination(context: context, config: config, target: target) }

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
    let check = ResticCheck(context: context, config: config)
    return context.side == .source ? try check.source() : try check.destination(target)
  }

  func prepare() throws -> Offer { try destination.prepare() }

  func prepare(for offer: Offer) throws {
    _ = try source.folder()
    try context.kv.put(Self.formKey, try form(offer))
    let repository = try ResticRepository(context, config)
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
    var options = TreeDigest.Options()
    options.algorithm = request.algorithm == .sha256 ? .sha256 : .xxh3
    let root: String
    if context.side == .source {
      root = try source.folder()
      options.selection = try source.selection()
    } else {
      // What was not selected never arrives: what is there is what was selected.
      root = try target.current(active: request.target == .active)
    }
    options.form = try context.kv.get(Self.formKey) ?? form(request.offer)
    options.cache = DigestCache(path: "\(context.temporaryFolder)/digests", algorithm: options.algorithm, form: options.form)
    options.trustsCache = !request.isFull
    options.listing = request.listing
    options.cancellation = context.cancellation
    let context = context
    options.progress = { context.progress(bytes: $0, entries: $1) }
    let result = try TreeDigest.compute(root: root, options)
    return DigestReport(root: result.root, entries: result.entries, bytes: result.bytes)
  }

  func activate() throws { try target.activate() }
  func deactivate() throws { try target.deactivate() }

  func discard() throws {
    if context.side == .destination { try target.discard() }
    try keeper()?.undo()
  }

  func release() throws {
    if context.side == .destination { try target.release() }
    try keeper()?.tidy()
  }

  func retire() throws { try source.retire() }

  func keeper() throws -> ResticKeeper? {
    let repository = try ResticRepository(context, config)
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
