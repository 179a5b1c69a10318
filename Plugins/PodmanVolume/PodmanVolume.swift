import FerryEngineKit

private let module = exportModule(
  name: "podman-volume", version: "1.0", vendor: "Ferry", providers: [PodmanVolumeProvider.self, DockerVolumeProvider.self])

/// What the host asks for.
@c(ferry_module_v1) public func ferryModule() -> UnsafePointer<ferry_module>? { module.pointer }

/// Volumes of Podman.
final class PodmanVolumeProvider: VolumeProvider, StateProvider {
  static let id = "podman-volume"
  static let summary = "moves Podman volumes: content, driver, labels, options"
  static let schema = VolumeConfig.schema

  init(_ context: ProviderContext) throws { try super.init(context, .podman) }
}

/// Volumes of Docker.
final class DockerVolumeProvider: VolumeProvider, StateProvider {
  static let id = "docker-volume"
  static let summary = "moves Docker volumes: content, driver, labels, options"
  static let schema = VolumeConfig.schema

  init(_ context: ProviderContext) throws { try super.init(context, .docker) }
}
