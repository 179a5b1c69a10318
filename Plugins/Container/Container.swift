import FerryEngineKit

private let module = exportModule(
  name: "container", version: "1.0", vendor: "Ferry",
  providers: [DockerContainerProvider.self, PodmanContainerProvider.self, PodmanPodProvider.self])

/// What the host asks for.
@c(ferry_module_v1) public func ferryModule() -> UnsafePointer<ferry_module>? { module.pointer }

/// A Docker container: its settings, and its image where the destination lacks it.
final class DockerContainerProvider: ContainerProvider, StateProvider {
  static let id = "docker-container"
  static let summary = "makes a Docker container at the destination with all settings of the source's, and brings its image"
  static let schema = ContainerConfig.schema

  init(_ context: ProviderContext) throws { try super.init(context, .docker) }

  override func check() throws -> CheckReport {
    guard config.live == true else { return try super.check() }
    return try report { _, _ in
      throw FerryError(
        .unsupported, "Docker cannot take a running container to another host: its checkpoints cannot leave it",
        hint: "without `live: true` the container is stopped, moved and started; or run it with Podman")
    }
  }
}

/// A Podman container: its settings, and its image where the destination lacks it; with `live: true` its processes, too.
final class PodmanContainerProvider: ContainerProvider, StateProvider {
  static let id = "podman-container"
  static let summary =
    "makes a Podman container at the destination with all settings of the source's, and brings its image; or keeps it running, with its memory"
  static let schema = ContainerConfig.schema

  private lazy var live = config.live == true ? LiveContainer(self) : nil

  init(_ context: ProviderContext) throws { try super.init(context, .podman) }

  override func check() throws -> CheckReport { try live?.check() ?? super.check() }
  func check(against abilities: JSONValue) throws -> CheckReport { try live?.check(against: abilities) ?? super.check() }
  override func prepare() throws -> Offer { try live?.prepare() ?? super.prepare() }
  override func transfer(_ pass: Pass) throws -> PassReport { try live?.transfer(pass) ?? super.transfer(pass) }
  override func receive(_ pass: Pass) throws -> PassReport { try live?.receive(pass) ?? super.receive(pass) }
  override func digest(_ request: DigestRequest) throws -> DigestReport { try live?.digest(request) ?? super.digest(request) }
  func freeze() throws { try live?.freeze() }
  func thaw() throws { try live?.thaw() }

  override func prepare(for offer: Offer) throws {
    try live?.refuseObstacles(to: offer)
    try super.prepare(for: offer)
  }
  override func activate() throws { if let live { try live.activate() } else { try super.activate() } }
  override func deactivate() throws { if let live { try live.deactivate() } else { try super.deactivate() } }
  override func discard() throws { if let live { try live.discard() } else { try super.discard() } }
  override func release() throws { if let live { try live.release() } else { try super.release() } }
}
