import FerryEngineKit

private let module = exportModule(
  name: "container", version: "1.0", vendor: "Ferry",
  providers: [DockerContainerProvider.self, PodmanContainerProvider.self, PodmanMemoryProvider.self])

/// What the host asks for.
@c(ferry_module_v1) public func ferryModule() -> UnsafePointer<ferry_module>? { module.pointer }

/// A Docker container: its settings, and its image where the destination lacks it.
final class DockerContainerProvider: ContainerProvider, StateProvider {
  static let id = "docker-container"
  static let summary = "makes a Docker container at the destination with all settings of the source's, and brings its image"
  static let schema = ContainerConfig.schema

  init(_ context: ProviderContext) throws { try super.init(context, .docker) }
}

/// A Podman container: its settings, and its image where the destination lacks it.
final class PodmanContainerProvider: ContainerProvider, StateProvider {
  static let id = "podman-container"
  static let summary = "makes a Podman container at the destination with all settings of the source's, and brings its image"
  static let schema = ContainerConfig.schema

  init(_ context: ProviderContext) throws { try super.init(context, .podman) }
}
