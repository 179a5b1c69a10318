import FerryEngineKit
import Glibc

/// A container's writable layer. What both engines have in common, which is all of it but the name.
class LayerProvider: EngineProvider {
  let config: LayerConfig
  private var hears: Bool?

  init(_ context: ProviderContext, _ kind: EngineKind) throws {
    config = try context.decodeConfig()
    super.init(context, kind, at: config.endpoint.engine, of: config.endpoint.user)
  }

  /// The layers of a container's image, lowest first: the same content has the same names on every machine.
  func base(_ container: EngineContainer) throws -> [String] {
    guard let layers = try engine().image(container.image)?["RootFS"]?["Layers"]?.array?.compactMap(\.string) else {
      throw imageIsGone(container)
    }
    return layers
  }

  /// Who is not root cannot even keep what a layer is made of.
  override func outOfReach(_ what: String, _ engine: ContainerEngine) -> FerryError {
    if geteuid() == 0 { return super.outOfReach(what, engine) }
    return FerryError(
      .unsupported, "\(what) is not within reach of an ordinary user: it holds device files and owners that only root may write",
      hint: engine.kind == .podman
        ? "run Ferry as root beside the engine, and name the user whose engine it is with `user`" : "run Ferry as root beside the engine")
  }

  /// Whether a layer's folder tells of what is written to it through its container's file system; tried once.
  func hearsWrites() -> Bool {
    if let hears { return hears }
    let found = Result { try OverlayTrial.tellsOfWrites(in: context.temporaryFolder) }
    let answer = (try? found.get()) == true
    if !answer {
      var reason = "this kernel does not tell of it, as Linux does since 6.5"
      if case .failure(let error) = found { reason = FerryError.wrap(error).message }
      context.log(.info, "what a container writes is not learned of: each pass looks at all of its layer, at its metadata first: \(reason)")
    }
    hears = answer
    return answer
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
    trees.stop()
    if context.side == .destination { try destination.discard() }
  }

  func release() throws {
    trees.stop()
    if context.side == .destination { try destination.release() }
  }

  func retire() throws { try source.retire() }
}
