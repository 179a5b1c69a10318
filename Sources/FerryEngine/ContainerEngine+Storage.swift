import FerrySystem

/// What no API tells of how an engine stores its containers; for whoever reaches its files.
extension ContainerEngine {
  /// Where a container's file system is with the storage driver vfs.
  public struct WholeFolders: Sendable {
    /// All that the container sees but its mounts.
    public let own: String
    /// What it saw when it was made: its image's content, with Docker's own additions.
    public let image: String
  }

  /// The folders of a container; nil if it has none that are known.
  public func wholeFolders(of container: EngineContainer) throws -> WholeFolders? {
    guard let (own, image) = try kind == .docker ? dockerLayers(container) : podmanLayers(container) else { return nil }
    return WholeFolders(own: "\(info.root)/vfs/dir/\(own)", image: "\(info.root)/vfs/dir/\(image)")
  }

  private func dockerLayers(_ container: EngineContainer) throws -> (String, String)? {
    func name(_ file: String) throws -> String? {
      let path = "\(info.root)/image/vfs/layerdb/mounts/\(container.id)/\(file)"
      return try Files.exists(path) ? String(decoding: Files.read(path), as: UTF8.self) : nil
    }
    guard let own = try name("mount-id"), let image = try name("init-id") else { return nil }
    return (own, image)
  }

  private func podmanLayers(_ container: EngineContainer) throws -> (String, String)? {
    /// Those of containers that go when they end are in a file of their own.
    func entry(_ kind: String, _ id: String?) throws -> JSONValue? {
      for name in [kind, "volatile-\(kind)"] {
        let path = "\(info.root)/vfs-\(kind)/\(name).json"
        guard Files.exists(path), let known = try JSONValue(parsing: String(decoding: Files.read(path), as: UTF8.self)).array else {
          continue
        }
        if let found = known.first(where: { $0["id"]?.string == id }) { return found }
      }
      return nil
    }
    guard let own = try entry("containers", container.id)?["layer"]?.string, let image = try entry("layers", own)?["parent"]?.string else {
      return nil
    }
    return (own, image)
  }

  /// The program that mounts overlays instead of the kernel, if Podman was told of one.
  public func overlayProgram() throws -> String? {
    guard kind == .podman else { return nil }
    return try podmanInfo()["store"]?["graphOptions"]?["overlay.mount_program"]?["Executable"]?.string
  }
}
