import FerryTreeKit
import Glibc

/// Keeps a folder in step with another one, by Ferry's own tree transfer.
final class TreeProvider: StateProvider {
  static let id = "tree"
  static let summary = "moves a folder whole, in parallel; after the first pass only what changed is looked at"
  static let schema = TreeConfig.schema
  static let formKey = "form"

  private let context: ProviderContext
  private let config: TreeConfig
  private let trees: TreeEnds
  private let target: StagedFolder
  private let source: TreeSource
  private let destination: TreeDestination

  init(_ context: ProviderContext) throws {
    self.context = context
    config = try context.decodeConfig()
    trees = TreeEnds(context)
    target = StagedFolder(path: config.endpoint.path, context)
    source = TreeSource(context, config, trees)
    destination = TreeDestination(context, target, trees)
  }

  func check() throws -> CheckReport {
    let check = TreeCheck(context: context, config: config, trees: trees)
    return context.side == .source ? try check.source(source, nil) : try check.destination(target)
  }

  func check(against abilities: JSONValue) throws -> CheckReport {
    try TreeCheck(context: context, config: config, trees: trees).source(source, abilities.decode())
  }

  func prepare() throws -> Offer { try destination.prepare() }

  func prepare(for offer: Offer) throws {
    let offered = try offer.decode(TreeOffer.self)
    let folder = try source.folder()
    if offered.machine == TreeOffer.thisMachine, "\(offered.path)/".hasPrefix("\(folder)/") || "\(folder)/".hasPrefix("\(offered.path)/") {
      throw FerryError(.precondition, "source \(folder) and target \(offered.path) are the same folder, or one is in the other")
    }
    try context.kv.put(Self.formKey, offered.form.common(with: TreeForm(attributes: geteuid() == 0 ? .all : .user)))
  }

  func transfer(_ pass: Pass) throws -> PassReport { try source.transfer(pass, form(pass.offer)) }
  func receive(_ pass: Pass) throws -> PassReport { try destination.receive(pass, form(pass.offer)) }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    let form = try form(request.offer)
    let result = context.side == .source ? try source.digest(request, form) : try destination.digest(request, form)
    return DigestReport(result)
  }

  func activate() throws { try target.activate() }
  func deactivate() throws { try target.deactivate() }

  func discard() throws {
    trees.stop()
    if context.side == .destination { try target.discard() }
  }

  func release() throws {
    trees.stop()
    if context.side == .destination { try target.release() }
  }

  func retire() throws { try source.retire() }

  /// What counts of the tree: what the destination can hold and the source can read. The destination hears of the latter in the first pass.
  private func form(_ offer: Offer?) throws -> TreeForm {
    if let known: TreeForm = try context.kv.get(Self.formKey) { return known }
    guard let offered = try offer?.decode(TreeOffer.self) else { throw FerryError(.internal, "the call came without an offer") }
    return offered.form
  }
}
