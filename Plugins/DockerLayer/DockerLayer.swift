import FerryEngineKit

private let module = exportModule(
  name: "docker-layer", version: "1.0", vendor: "Ferry", providers: [DockerLayerProvider.self, PodmanLayerProvider.self])

/// What the host asks for.
@c(ferry_module_v1) public func ferryModule() -> UnsafePointer<ferry_module>? { module.pointer }

/// The writable layer of a Docker container.
final class DockerLayerProvider: LayerProvider, StateProvider {
  static let id = "docker-layer"
  static let summary = "moves what a Docker container changed over its image: its writable layer"
  static let schema = LayerConfig.schema

  init(_ context: ProviderContext) throws { try super.init(context, .docker) }
}

/// The writable layer of a Podman container.
final class PodmanLayerProvider: LayerProvider, StateProvider {
  static let id = "podman-layer"
  static let summary = "moves what a Podman container changed over its image: its writable layer"
  static let schema = LayerConfig.schema

  init(_ context: ProviderContext) throws { try super.init(context, .podman) }
}
