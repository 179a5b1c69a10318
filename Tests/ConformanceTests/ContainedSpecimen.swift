import FerrySystem
import PluginHarness
import TestSupport

/// State that an engine keeps: it lies in a folder of the engine's, which the suite looks at and changes as any other.
struct ContainedSpecimen {
  let kind: TestEngine.Kind
  let isLayer: Bool

  /// A source and a destination of each kind, with a storage of their own; started when the first test needs them.
  private static let docker = Result { (try TestEngine(.docker), try TestEngine(.docker)) }
  private static let podman = Result { (try TestEngine(.podman), try TestEngine(.podman)) }
  private func engines() throws -> (from: TestEngine, to: TestEngine) { try (kind == .docker ? Self.docker : Self.podman).get() }

  func subject(_ specimen: Specimen) throws -> Subject {
    let (source, target) = try engines()
    let name = "state-\(UInt32.random(in: 0 ... .max))"
    let folder = try TemporaryFolder()
    func end(_ engine: TestEngine) -> JSONValue { [isLayer ? "container" : "volume": .string(name), "engine": .string(engine.address)] }
    let harness = try Harness(
      product: isLayer ? "docker-layer" : "podman-volume", provider: "\(kind)-\(isLayer ? "layer" : "volume")", folder: folder,
      from: end(source), to: end(target), keys: ["replace": true, "allow-empty": true])
    let from = try isLayer ? source.makeLayer(name) : source.makeVolume(name)
    // No volume is needed at the destination, but a layer needs a container.
    let to = try isLayer ? target.makeLayer(name) : "\(target.folder.path)/data/volumes/\(name)/_data"
    try specimen.make(from)
    return Subject(specimen: specimen, harness: harness, from: from, to: to)
  }

  /// Makes what keeps a path, if there is nothing yet.
  func make(_ path: String) throws {
    guard !isLayer, !Files.exists(path) else { return }
    _ = try engines().to.makeVolume(String(path.split(separator: "/").dropLast().last ?? ""))
  }
}

extension Specimen {
  /// Which engine keeps it, if one does.
  var contained: ContainedSpecimen? {
    switch self {
    case .podmanVolume: ContainedSpecimen(kind: .podman, isLayer: false)
    case .dockerVolume: ContainedSpecimen(kind: .docker, isLayer: false)
    case .podmanLayer: ContainedSpecimen(kind: .podman, isLayer: true)
    case .dockerLayer: ContainedSpecimen(kind: .docker, isLayer: true)
    default: nil
    }
  }
}

extension TestEngine {
  /// A volume; answers the folder of its content.
  fileprivate func makeVolume(_ name: String) throws -> String {
    try run("volume", "create", name)
    return try mountpoint(name)
  }

  /// A container that was never started; answers the folder of its layer.
  fileprivate func makeLayer(_ name: String) throws -> String {
    try run("create", "--name", name, "--network", "none", "box", "/bin/sh")
    return try upper(name)
  }
}
