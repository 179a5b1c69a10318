import FerryTreeKit
import Glibc

/// transfer-state.
final class TreeSource {
  private let context: ProviderContext
  private let config: TreeConfig
  private let trees: TreeEnds

  init(_ context: ProviderContext, _ config: TreeConfig, _ trees: TreeEnds) {
    self.context = context
    self.config = config
    self.trees = trees
  }

  /// The folder without links in its path; throws if it is not there or, unless that is allowed, holds nothing.
  func folder() throws -> String {
    guard let resolved = realpath(config.endpoint.path, nil) else {
      throw FerryError(errno: errno, "cannot read the source \(config.endpoint.path)")
    }
    defer { free(resolved) }
    let path = String(cString: resolved)
    guard Files.isFolder(path) else { throw FerryError(.precondition, "the source \(path) is not a folder") }
    // A file system that is not mounted looks like an empty folder.
    guard config.allowEmpty == true || !Files.names(in: path).isEmpty else {
      throw FerryError(.precondition, "the source \(path) is empty", hint: "is it mounted? If it may be empty, say `allow-empty: true`")
    }
    return path
  }

  var selection: TreeSelection? { TreePatterns(config.exclude ?? []).selection }

  func transfer(_ pass: Pass, _ form: TreeForm) throws -> PassReport {
    PassReport(sent: try tree(form).send(pass), isFinal: pass.isFinal)
  }

  func digest(_ request: DigestRequest, _ form: TreeForm) throws -> TreeDigest.Result {
    try tree(form).digest(request, listing: request.listing)
  }

  private func tree(_ form: TreeForm) throws -> TrackedTree {
    let tree = try trees.source(at: folder(), options(form))
    tree.isTracked = config.track != false
    return tree
  }

  /// What of the folder is moved.
  func options(_ form: TreeForm) -> TreeOptions {
    var options = TreeOptions(form: form)
    options.selection = selection
    options.oneFileSystem = config.oneFileSystem == true
    return options
  }

  /// Removes what was moved and nothing else.
  func retire() throws {
    guard Files.exists(config.endpoint.path) else { return }
    let path = try resolved()
    guard path != "/", Files.isFolder(path) else { throw FerryError(.precondition, "\(path) is nothing that Ferry removes") }
    try TreeRemoval.remove(path, selection: selection, keepingRoot: StagedFolder.isMountPoint(path))
  }

  private func resolved() throws -> String {
    guard let resolved = realpath(config.endpoint.path, nil) else {
      throw FerryError(errno: errno, "cannot read the source \(config.endpoint.path)")
    }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
