import FerryEngineKit
import Glibc

/// How an engine whose files are within reach keeps the layers of its containers.
struct LayerStore {
  let engine: ContainerEngine
  /// What is on its disk stands for what its containers see; nil: for itself.
  let owners: LayerOwners?
  /// The storage driver is vfs, which keeps no layers: a container's folder holds all that it sees.
  let isWhole: Bool

  /// nil if the engine's files are out of reach. Throws where they are not, and there is no way to put a layer there.
  static func find(_ provider: EngineProvider) throws -> LayerStore? {
    let engine = try provider.engine()
    guard case .direct(let ids) = try provider.reach(engine.info.root), engine.kind == .podman || !engine.info.isRootless else {
      return nil
    }
    switch engine.info.driver {
    case "overlay", "overlay2":
      if let program = try engine.overlayProgram() {
        throw FerryError(
          .unsupported, "the layers of \(engine.kind.title) are mounted by \(program), which writes them in a form of its own",
          hint: "without `mount_program` in storage.conf Podman uses the kernel's overlay, rootless too, from Linux 5.13 on")
      }
      return LayerStore(engine: engine, owners: engine.info.isRootless ? LayerOwners(ids: ids, marks: .user) : nil, isWhole: false)
    case "vfs": return LayerStore(engine: engine, owners: ids.map { LayerOwners(ids: $0) }, isWhole: true)
    case "overlayfs":
      throw FerryError(
        .unsupported, "the layers of \(engine.kind.title) are in containerd's image store (storage driver 'overlayfs')",
        hint: "`\"features\": {\"containerd-snapshotter\": false}` in daemon.json gives overlay2, with images and containers of its own")
    default:
      throw FerryError(
        .unsupported,
        "the layers of \(engine.kind.title) are kept by the storage driver '\(engine.info.driver)', of which Ferry knows no folder",
        hint: "overlay2 (Docker), overlay (Podman) and vfs are known")
    }
  }

  /// The folder of a container: its overlay's upper one, or with vfs its whole file system.
  func folder(of container: EngineContainer) throws -> String {
    guard let folder = try isWhole ? engine.wholeFolders(of: container)?.own : container.layer["UpperDir"], Files.isFolder(folder) else {
      throw unknown(container)
    }
    return folder
  }

  /// With vfs: the folder that a container's own was copied from.
  func image(of container: EngineContainer) throws -> String {
    guard let folder = try engine.wholeFolders(of: container)?.image, Files.isFolder(folder) else { throw unknown(container) }
    return folder
  }

  private func unknown(_ container: EngineContainer) -> FerryError {
    FerryError(
      .unsupported, "no folder of the container \(container.name) is where \(engine.kind.title) keeps such",
      hint: "does `\(engine.kind.rawValue) start \(container.name)` work? Is its image in another store?")
  }

  /// Whether somebody has a layer mounted: then nobody else may write into it. A rootless engine mounts in a namespace of its own.
  func isMounted(_ folder: String) throws -> Bool {
    try ["self", engine.peer.map { "\($0.process)" }].compactMap { $0 }.contains {
      try !MountTable("/proc/\($0)/mountinfo", upper: Array(folder.utf8)).overlays.isEmpty
    }
  }
}
