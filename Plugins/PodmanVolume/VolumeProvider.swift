import FerryEngineKit

/// Volumes of an engine, one or many in one item. What both engines have in common, which is all of it but the name.
class VolumeProvider: EngineProvider {
  let config: VolumeConfig

  init(_ context: ProviderContext, _ kind: EngineKind) throws {
    config = try context.decodeConfig()
    super.init(context, kind, at: config.endpoint.engine, of: config.endpoint.user)
  }

  /// A volume whose data folder is out of reach, with its copy in the item's own folder.
  func distant(_ name: String, copy: String) throws -> DistantFolder {
    let engine = try engine()
    let folder = engine.kind == .podman ? try engine.volume(name)?.mountpoint : nil
    return DistantFolder(engine, folder.map { .folder($0) } ?? .volume(name), copy: "\(context.temporaryFolder)/\(copy)")
  }

  private var source: VolumeSource { VolumeSource(provider: self) }
  private var destination: VolumeDestination { VolumeDestination(provider: self) }

  func check() throws -> CheckReport {
    let check = VolumeCheck(provider: self)
    return context.side == .source ? try check.source(nil) : try check.destination()
  }

  func check(against abilities: JSONValue) throws -> CheckReport { try VolumeCheck(provider: self).source(abilities.decode()) }

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
    trees.stop()
    if context.side == .destination { try destination.discard() }
  }

  func release() throws {
    trees.stop()
    if context.side == .destination { try destination.release() }
  }

  func retire() throws { try source.retire() }
}
