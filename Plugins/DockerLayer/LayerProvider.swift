import FerryEngineKit

/// A container's writable layer. What both engines have in common, which is all of it but the name.
class LayerProvider: EngineProvider {
  let config: LayerConfig

  init(_ context: ProviderContext, _ kind: EngineKind) throws {
    config = try context.decodeConfig()
    super.init(context, kind, at: config.endpoint.engine)
  }

  /// The layers of a container's image, lowest first: the same content has the same names on every machine.
  func base(_ container: EngineContainer) throws -> [String] {
    guard let layers = try engine().image(container.image)?["RootFS"]?["Layers"]?.array?.compactMap(\.string) else {
      throw imageIsGone(container)
    }
    return layers
  }

  private var source: LayerSource { LayerSource(provider: self) }
  private var destination: LayerDestination { LayerDestination(provider: self) }

  func check() throws -> CheckReport { context.side == .source ? try source.check(nil) : try destination.check() }
  func check(against abilities: JSONValue) throws -> CheckReport { try source.check(abilities.decode()) }
  func prepare() throws -> Offer { try destination.prepare() }
  func prepare(for offer: Offer) throws { try source.prepare(offer) }
  func transfer(_ pass: Pass) throws -> PassReport { try source.transfer(pass) }
  func receive(_ pass: Pass) throws -> PassReport { try destination.receive(pass) }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    DigestReport(
      context.side == .source
        ? try source.digest(request) : try destination.receiver(request).digest(request, listing: request.listing))
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
