import FerryPluginKit
import FerryTree
import Glibc

/// transfer-state.
final class TreeSource {
  private let context: ProviderContext
  private let config: TreeConfig
  private var sender: TreeSender?
  private var tracker: ChangeTracker?

  init(_ context: ProviderContext, _ config: TreeConfig) {
    self.context = context
    self.config = config
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

  /// From here on no change goes unseen, so that later passes look at nothing else.
  func track() throws {
    guard config.track != false, tracker == nil else { return }
    let tracker = try ChangeTracker(root: folder())
    context.log(tracker.reason.isEmpty ? .debug : .info, "changes are learned of by \(tracker.method.rawValue) \(tracker.reason)")
    self.tracker = tracker
  }

  func transfer(_ pass: Pass, _ form: TreeForm) throws -> PassReport {
    let changes = try changes(isFinal: pass.isFinal)
    let report = try self.sender(form).send(TreePass(number: pass.number, isFinal: pass.isFinal, changes: changes), on: pass.channels)
    if let first = report.unread.first { context.log(.warning, "\(report.unread.count) entries could not be read: \(first)") }
    return PassReport(
      bytes: report.bytes, entries: report.entries, changed: report.changed, vanished: pass.isFinal ? nil : report.vanished,
      unread: report.unread.isEmpty ? nil : report.unread)
  }

  /// What changed since the last pass; nil if nobody looked.
  private func changes(isFinal: Bool) throws -> TreeChanges? {
    guard let tracker else { return nil }
    var changes = tracker.drain()
    // A service that is frozen rather than stopped still holds its files, and nothing tells of what it wrote through maps. While it runs
    // there is no need to ask: what is held now is held in the end as well, or was closed, and that is told.
    if isFinal, changes.isComplete { changes = changes.union(try openFiles()) }
    if !changes.isComplete { context.log(.info, "not all changes were seen: everything is looked at \(tracker.reason)") }
    return changes
  }

  private func openFiles() throws -> TreeChanges {
    let folder = try folder()
    var open = try OpenFiles(below: folder)
    // Other processes rename their files while they are looked for.
    for _ in 0..<3 where open.unplaced > 0 { open = try OpenFiles(below: folder) }
    return open.changes
  }

  func digest(_ request: DigestRequest, _ form: TreeForm) throws -> TreeDigest.Result {
    try sender(form).digest(
      .init(request.depth), algorithm: .init(request.algorithm), listing: request.depth == .tracked ? nil : request.listing)
  }

  private func sender(_ form: TreeForm) throws -> TreeSender {
    var options = TreeOptions(form: form).serving(context)
    options.selection = selection
    options.oneFileSystem = config.oneFileSystem == true
    if let sender {
      sender.options = options
      return sender
    }
    let sender = try TreeSender(root: folder(), state: "\(context.temporaryFolder)/sender", options: options)
    self.sender = sender
    return sender
  }

  func stop() {
    tracker?.stop()
    tracker = nil
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

extension TreeOptions {
  /// With what a call of this item needs.
  func serving(_ context: ProviderContext) -> TreeOptions {
    var options = self
    options.cancellation = context.cancellation
    options.progress = { context.progress(bytes: $0, entries: $1) }
    return options
  }
}

extension TreeDigestDepth {
  init(_ depth: DigestRequest.Depth) {
    switch depth {
    case .tracked: self = .tracked
    case .sweep: self = .sweep
    case .full: self = .full
    }
  }
}

extension HashAlgorithm {
  init(_ algorithm: DigestRequest.Algorithm) { self = algorithm == .sha256 ? .sha256 : .xxh3 }
}
