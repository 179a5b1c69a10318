import FerryEngineKit
import Glibc

/// The folder in which an overlay keeps what a container changed: additions as they are, deletions as whiteouts (device 0:0), folders that were
/// made anew marked as opaque. It is moved as it is: on the same image it means the same.
enum LayerFolder {
  /// The folder of a container, or why there is none within reach.
  static func find(_ container: EngineContainer, _ provider: EngineProvider) throws -> String {
    let engine = try provider.engine()
    guard engine.sharesFiles else { throw provider.outOfReach("the layer of \(container.name)", engine) }
    guard ["overlay", "overlay2"].contains(container.driver), let folder = container.layer["UpperDir"], Files.isFolder(folder) else {
      throw FerryError(
        .unsupported, "the layer of \(container.name) is kept by the storage driver '\(container.driver)', of which Ferry knows no folder",
        hint: "overlay2 (Docker) and overlay (Podman) are known")
    }
    return folder
  }

  /// Whether somebody has it mounted: then nobody else may write into it.
  static func isMounted(_ folder: String) throws -> Bool {
    // An engine that has many layers names them relative to its own folder.
    let name = folder.split(separator: "/").suffix(2).joined(separator: "/")
    let table = String(decoding: try Files.read("/proc/self/mountinfo"), as: UTF8.self)
    return table.split(separator: "\n").contains { line in
      line.split(separator: ",").contains { $0.hasPrefix("upperdir=") && $0.hasSuffix(name) }
    }
  }

  /// Names of attributes by which a layer points into its image instead of holding the thing itself: a renamed folder, content that was not copied.
  private static let references = ["redirect", "metacopy"].flatMap { ["trusted.overlay.\($0)", "user.overlay.\($0)"] }.map {
    Array($0.utf8)
  }

  /// The first entry that points into the image, or nil. Kernels make such entries with `redirect_dir=on` or `metacopy=on` only.
  static func reference(in folder: String, _ cancellation: Cancellation) throws -> String? {
    let seeker = Seeker(cancellation)
    try TreeWalk.run(try TreeFolder(root: folder), seeker)
    return seeker.found
  }

  private final class Seeker: TreeVisitor {
    let cancellation: Cancellation
    var found: String?
    init(_ cancellation: Cancellation) { self.cancellation = cancellation }

    func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
      if cancellation.isCancelled { throw FerryError(.cancelled, "looking through the layer was cancelled") }
      for entry in entries where found == nil && (entry.kind == .folder || entry.kind == .file) {
        let names = try ExtendedAttributes.read(folder, entry.name).map(\.name)
        if names.contains(where: LayerFolder.references.contains) { found = folder.shown(entry.name) }
      }
      if found != nil { entries = [] }
    }
    func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) {}
    func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) {}
    func failed(_ error: FerryError, path: [UInt8]) throws { if error.class != .notFound { throw error } }
  }
}
