import FerryEngineKit

/// The folder in which an overlay keeps what a container changed: additions as they are, deletions as whiteouts (device 0:0), folders that were
/// made anew marked as opaque. It is moved as it is: on the same image it means the same.
enum LayerFolder {
  /// The attribute by which an overlay marks a folder that was made anew.
  static let opaque = Array("trusted.overlay.opaque".utf8)

  /// Whether an entry is nothing but the word that what the image has there is gone.
  static func isDeletion(_ entry: TreeEntry) -> Bool { entry.kind == .characterDevice && entry.deviceNumber == 0 }

  /// Names of attributes by which a layer points into its image instead of holding the thing itself: a renamed folder, content that was not copied.
  static let references = Set(
    ["redirect", "metacopy"].flatMap { ["trusted.overlay.\($0)", "user.overlay.\($0)"] }.map { Array($0.utf8) })

  /// The first entry that points into the image, or nil. Kernels make such entries with `redirect_dir=on` or `metacopy=on` only. Passes find them
  /// without a walk: they refuse these attributes.
  static func reference(in folder: String, _ cancellation: Cancellation) throws -> String? {
    try entries(of: TreeFolder(root: folder), with: references, cancellation, limit: 1).first.map { TreePath.escaped($0) }
  }

  /// Paths of folders and files that have one of these attributes.
  static func entries(
    of folder: TreeFolder, with attributes: Set<[UInt8]>, _ cancellation: Cancellation?, limit: Int = .max
  ) throws -> [[UInt8]] {
    let seeker = Seeker(attributes, cancellation, limit)
    try TreeWalk.run(folder, seeker)
    return seeker.found
  }

  private final class Seeker: TreeVisitor {
    let attributes: Set<[UInt8]>
    let cancellation: Cancellation?
    let limit: Int
    var found: [[UInt8]] = []
    init(_ attributes: Set<[UInt8]>, _ cancellation: Cancellation?, _ limit: Int) {
      (self.attributes, self.cancellation, self.limit) = (attributes, cancellation, limit)
    }

    func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
      if cancellation?.isCancelled == true { throw FerryError(.cancelled, "looking through the layer was cancelled") }
      for entry in entries where found.count < limit && (entry.kind == .folder || entry.kind == .file) {
        let names = try ExtendedAttributes.read(folder, entry.name).map(\.name)
        if names.contains(where: attributes.contains) { found.append(TreePath.joined(folder.path, entry.name)) }
      }
      if found.count >= limit { entries = [] }
    }
    func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) {}
    func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) {}
    func failed(_ error: FerryError, path: [UInt8]) throws { if error.class != .notFound { throw error } }
  }
}
