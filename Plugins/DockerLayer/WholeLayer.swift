import FerryEngineKit
import Glibc

/// The target where the storage driver is vfs: a container's folder holds its whole file system. One like it is made beside, of the image's content,
/// and gets the layer in the final pass, which then looks at what is in the layer and at nothing else.
struct WholeLayer {
  /// The folder with the image's content.
  let image: String
  /// What was received, as an overlay keeps it.
  let layer: String
  let options: TreeOptions

  /// Where a layer is received for a folder that is filled beside another.
  static func layer(_ staged: StagedFolder) -> String { "\(staged.holder)/layer" }

  /// Fills a folder anew with the image's content.
  func begin(_ folder: String) throws {
    try TreeRemoval.remove(folder, selection: nil, keepingRoot: true)
    try LayerMerge.run(image, upon: folder, options)
    guard try digest(image) == digest(folder) else {
      throw FerryError(.io, "the copy of the image's content in \(folder) is not what the image holds", hint: "resume the run")
    }
  }

  /// Puts the layer upon the image's content, and looks whether it is there.
  func apply(_ folder: String) throws {
    try LayerMerge.run(layer, upon: folder, options)
    let survey = LayerSurvey()
    try TreeWalk.run(TreeFolder(root: layer), survey)
    let selection = TreeSelection(survey.kept)
    guard try digest(layer, selection) == digest(folder, selection) else { throw differs(folder, "its additions") }
    let whole = try TreeWriter(root: TreeFolder(root: folder), form: options.form)
    for path in survey.gone where try whole.kind(of: path) != nil { throw differs(folder, TreePath.escaped(path)) }
    for path in survey.opaque {
      for name in try whole.names(in: path).map({ TreePath.joined(path, $0) }) where !survey.kept.contains(name) {
        throw differs(folder, TreePath.escaped(name))
      }
    }
    try TreeFolder(root: folder).flush()
  }

  /// Throws unless a folder is what image and layer make, to the bit: they are put together once more, beside.
  func prove(_ folder: String) throws {
    let again = "\(layer)-again"
    try Files.makeFolder(again)
    defer { try? TreeRemoval.remove(again) }
    try begin(again)
    try LayerMerge.run(layer, upon: again, options)
    guard try digest(again) == digest(folder) else { throw differs(folder, "content or metadata") }
  }

  private func differs(_ folder: String, _ what: String) -> FerryError {
    FerryError(.io, "\(folder) is not the image with the layer that was received: \(what) differs", hint: "resume the run")
  }

  private func digest(_ root: String, _ selection: TreeSelection? = nil) throws -> String {
    var digest = TreeDigest.Options()
    digest.form = options.form
    digest.selection = selection
    digest.owners = LayerOwners.unmarked
    digest.cancellation = options.cancellation
    digest.progress = options.progress
    return try TreeDigest.compute(root: root, digest).root
  }
}

/// What a layer says.
private final class LayerSurvey: TreeVisitor {
  var kept: Set<[UInt8]> = []
  var gone: [[UInt8]] = []
  var opaque: [[UInt8]] = []

  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
    if try ExtendedAttributes.read(folder, []).contains(where: { $0.name == LayerFolder.opaque }) { opaque.append(folder.path) }
  }
  func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) {
    let path = TreePath.joined(folder.path, entry.name)
    if LayerFolder.isDeletion(entry) { gone.append(path) } else { kept.insert(path) }
  }
  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) {}
  func failed(_ error: FerryError, path: [UInt8]) throws { throw error }
}
