import FerryEngineKit

/// A container's settings and its image. What both engines have in common, which is all of it but the name.
class ContainerProvider: EngineProvider {
  let config: ContainerConfig

  init(_ context: ProviderContext, _ kind: EngineKind) throws {
    config = try context.decodeConfig()
    if let key = config.idleKey { throw FerryError(.invalid, key) }
    super.init(context, kind, at: config.endpoint.engine)
  }

  /// The image of a container.
  func image(_ container: EngineContainer) throws -> EngineImage {
    guard let image = try engine().findImage(container.image) else { throw imageIsGone(container) }
    return image
  }

  /// How a container was made.
  func definition(_ container: EngineContainer, _ image: EngineImage) throws -> ContainerDefinition {
    let run = context.run
    var definition = try ContainerDefinition(
      container, kind, image: image.json,
      names: { [self] id in try engine().container(id).map { ContainerEngine.plainName($0.name, run: run) } }, without: config.without ?? []
    )
    guard kind == .podman else { return definition }
    let shown = try engine().podmanInspect(container.id)
    let pod = try shown["Pod"]?.string.flatMap { $0.isEmpty ? nil : try engine().pod($0) }
    definition.addPodman(shown, pod: pod, without: config.without ?? [])
    if context.side == .source {
      definition.unseen = try engine().podmanUnseen(container, shown).filter { config.without?.contains("HostConfig.\($0.key)") != true }
    }
    return definition
  }

  private var source: ContainerSource { ContainerSource(provider: self) }
  private var destination: ContainerDestination { ContainerDestination(provider: self) }

  func check() throws -> CheckReport { context.side == .source ? try source.check() : try destination.check() }
  func prepare() throws -> Offer { try destination.prepare() }
  func prepare(for offer: Offer) throws { try source.prepare() }
  func transfer(_ pass: Pass) throws -> PassReport { try source.transfer(pass) }
  func receive(_ pass: Pass) throws -> PassReport { try destination.receive(pass) }

  /// The settings in the destination's words, one line each, and the layers of the image.
  func digest(_ request: DigestRequest) throws -> DigestReport {
    let (definition, image) = context.side == .source ? try source.state(request.offer) : try destination.state(request)
    return try report(
      of: definition.lines + [("image", image.layers.joined(separator: " "))], request, evidence: ["image": image.id])
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
}

extension EngineProvider {
  /// The digest of settings, one line each.
  func report(of settings: [(path: String, value: String)], _ request: DigestRequest, evidence: [String: String] = [:]) throws
    -> DigestReport
  {
    let hash = ContentDigest(request.algorithm == .sha256 ? .sha256 : .xxh3)
    let lines = settings.map { "\(hash.hex(of: Array("\($0.path)=\($0.value)".utf8)))\t\($0.path)\n" }.joined()
    if let listing = request.listing { try Files.replace(listing, with: Array(lines.utf8)) }
    return DigestReport(
      root: hash.hex(of: Array(lines.utf8)), entries: Int64(settings.count), bytes: settings.reduce(0) { $0 + Int64($1.value.utf8.count) },
      evidence: evidence)
  }
}
