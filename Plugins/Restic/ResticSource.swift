import FerryPluginKit
import FerryTree
import FerryTreeKit
import Glibc

/// What a source tells the destination once its snapshot is written, where the channel carries nothing else: one line of JSON.
struct ResticWord: Codable {
  var snapshot: String
}

/// transfer-state: one snapshot a pass.
struct ResticSource {
  let context: ProviderContext
  let config: ResticConfig
  let memory: ResticMemory

  private var module: ResticModule? { ResticModule(context, config.endpoint) }

  func folder() throws -> String { try TreeFolder.resolve(source: config.endpoint.path, allowEmpty: config.allowEmpty == true) }

  /// What there is to be moved.
  func parts() throws -> [ResticPart] {
    let folder = try folder()
    guard let module else { return [ResticPart(name: String(folder.split(separator: "/").last ?? ""), folder: folder)] }
    guard Files.exists("\(folder)/\(ResticModule.environment)") else {
      throw FerryError(.precondition, "\(folder) has no file '\(ResticModule.environment)'", hint: "name the module's state folder")
    }
    let volumes = try module.names()
    for name in try namedVolumes() where !volumes.contains(name) {
      throw FerryError(
        .notFound, "the include-file names volumes/\(name), but there is no volume \(module.engineName(name))",
        hint: module.user == nil ? "is the module rootless? Then say whose with `from.user`" : "")
    }
    return [ResticPart(name: ResticModule.state, folder: folder)]
      + (try volumes.compactMap { name in
        // One that cannot be backed up is no obstacle unless the include-file asks for it.
        do { return try module.folder(name).map { ResticPart(name: "volumes/\(name)", folder: $0) } } catch let error as FerryError {
          guard config.includeFile != nil, error.class == .unsupported, try !namedVolumes().contains(name) else { throw error }
          return nil
        }
      })
  }

  /// The volumes that lines of the include-file begin with, patterns aside.
  private func namedVolumes() throws -> [String] {
    try includes().compactMap { line in
      let parts = line.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.count > 1, parts[0] == "volumes", !parts[1].isEmpty, !parts[1].contains(where: "*?[\\".contains) else { return nil }
      return String(parts[1])
    }
  }

  /// The lines of the include-file.
  private func includes() throws -> [Substring] {
    guard let path = config.includeFile else { return [] }
    return String(decoding: try Files.read(path), as: UTF8.self).split(whereSeparator: \.isNewline)
  }

  /// The tags by which a snapshot is found again.
  static func tags(_ context: ProviderContext, pass: Int? = nil) -> [String] {
    ["ferry", "run=\(context.run)", "item=\(context.item)"] + (pass.map { ["pass=\($0)"] } ?? [])
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    let isDirect = try ResticLocation(config.repository).isChannel
    let (report, snapshot) = try store(pass, channel: isDirect ? pass.channel : nil)
    if !isDirect { try send(ResticWord(snapshot: snapshot), on: pass.channel) }
    return report
  }

  /// Writes a pass's snapshot; answers its name as well.
  func store(_ pass: Pass, channel: Int32?) throws -> (PassReport, snapshot: String) {
    let parts = try parts()
    let repository = try ResticRepository(context, config, memory, channel: channel)
    let name = pass.manifest.map { ["name=\($0.name)"] } ?? []
    let manifest = pass.manifest.map { ["manifest=\($0.digest.prefix(16))"] } ?? []
    let tags = Self.tags(context, pass: pass.number) + name + manifest + (config.tags ?? []) + (pass.deposit.map(ResticProof.tags) ?? [])
    var arguments = ["backup", "--json", "--tag", tags.joined(separator: ",")]
    // restic would look for one that was told to read the very same paths, and what an include-file names changes.
    if config.includeFile != nil || module != nil,
      let last = try repository.snapshots(tags: [["ferry", "item=\(context.item)"] + name]).last
    {
      arguments += ["--parent", last.id]
    }
    var prepared = try repository.command(arguments + config.rules + targets(parts))
    // Relative to its parent the folder is the snapshot's one root, with its own metadata, wherever it is.
    prepared.directory = module?.view ?? Files.parent(of: parts[0].folder)
    let (command, backup) = (prepared, ResticBackup(context: context))
    let (report, snapshot) = try repository.unlocking {
      guard let module else { return try backup.run(command, repository, isFinal: pass.isFinal) }
      return try module.showing(parts) { try backup.run(command, repository, isFinal: pass.isFinal) }
    }
    if config.selects { try ResticListing.save(.named(snapshot), repository, to: selectionPath) }
    if module != nil, try !ResticListing.read(selectionPath, below: ResticModule.state).contains(Array(ResticModule.environment.utf8)) {
      throw FerryError(
        .invalid, "the exclude rules leave out state/\(ResticModule.environment), without which no backup can be restored",
        hint: "take the rule away that matches it")
    }
    return (report, snapshot)
  }

  /// What restic is told to read: the folder, or what `include-file` names in it.
  private func targets(_ parts: [ResticPart]) throws -> [String] {
    guard let path = config.includeFile else { return parts.map { "./\($0.name)" } }
    let lines = try includes()
    let patterns =
      try module == nil
      ? ResticPatterns.rooted(lines, name: parts[0].name, folder: parts[0].folder)
      : ResticPatterns.inside(lines, folder: "") + ["\(ResticModule.state)/\(ResticModule.environment)"]
    guard !patterns.isEmpty else {
      throw FerryError(.precondition, "\(path) names nothing", hint: "a line is a pattern below \(parts[0].folder)")
    }
    let file = "\(context.temporaryFolder)/include"
    try Files.replace(file, with: Array((patterns.joined(separator: "\n") + "\n").utf8))
    return ["--files-from", file]
  }

  private func send(_ word: ResticWord, on channel: Int32) throws {
    let bytes = try JSONValue.encode(word) + [10]
    let sent = bytes.withUnsafeBytes { Glibc.send(channel, $0.baseAddress, bytes.count, Int32(MSG_NOSIGNAL)) }
    // A few dozen bytes into an empty socket go whole or not at all.
    guard sent == bytes.count else { throw FerryError(.peer, "the other end closed the channel before it heard of the snapshot") }
  }

  private var selectionPath: String { "\(context.temporaryFolder)/selection" }

  /// What the latest snapshot holds, tree by tree.
  func trees() throws -> [DigestRequest.Tree] {
    try parts().compactMap { part in
      guard config.selects else { return DigestRequest.Tree(part.folder, name: part.name) }
      var paths = try ResticListing.read(selectionPath, below: part.name)
      if module != nil, part.name != ResticModule.state, paths.isEmpty { return nil }
      if module != nil, part.name == ResticModule.state { paths.removeAll { $0 == Array(ResticModule.environment.utf8) } }
      return DigestRequest.Tree(part.folder, name: part.name, selection: TreeSelection(paths))
    }
  }

  /// Removes what was moved and nothing else.
  func retire() throws {
    guard Files.exists(config.endpoint.path) else { return }
    for part in try parts() {
      guard part.folder != "/" else { throw FerryError(.precondition, "\(part.folder) is nothing that Ferry removes") }
      let selection = config.selects ? TreeSelection(try ResticListing.read(selectionPath, below: part.name)) : nil
      // A volume's folder is Podman's, and a module's state folder its agent's.
      let stays = module != nil || StagedFolder.isMountPoint(part.folder)
      try TreeRemoval.remove(part.folder, selection: selection, keepingRoot: stays)
    }
  }
}

/// Lines of an `include-file`, which begin at the folder, as restic must see them: it begins at the folder's parent.
enum ResticPatterns {
  static func rooted(_ lines: [Substring], name: String, folder: String) throws -> [String] {
    try inside(lines, folder: folder).map { "./\(escaped(name))/\($0)" }
  }

  /// Lines that say something, none of which leads out of the folder.
  static func inside(_ lines: [Substring], folder: String) throws -> [String] {
    try lines.compactMap { line in
      var text = line.drop(while: \.isWhitespace)
      while text.last?.isWhitespace == true { text.removeLast() }
      if text.isEmpty || text.hasPrefix("#") { return nil }
      if !folder.isEmpty, text.hasPrefix("\(folder)/") { text = text.dropFirst(folder.count + 1) }
      guard !text.hasPrefix("/"), !text.split(separator: "/").contains("..") else {
        throw FerryError(.invalid, "the include-file names \(text), which is not below \(folder.isEmpty ? "the module" : folder)")
      }
      return String(text)
    }
  }

  /// A folder's own name is no pattern, whatever is in it.
  private static func escaped(_ name: String) -> String {
    name.map { "*?[\\".contains($0) ? "\\\($0)" : String($0) }.joined()
  }
}
