import FerryPluginKit
import FerryTree
import Glibc

/// What a source tells the destination once its snapshot is written, where the channel carries nothing else: one line of JSON.
struct ResticWord: Codable {
  var snapshot: String
}

/// transfer-state: one snapshot a pass.
struct ResticSource {
  let context: ProviderContext
  let config: ResticConfig

  func folder() throws -> String { try TreeFolder.resolve(source: config.endpoint.path, allowEmpty: config.allowEmpty == true) }

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
    let source = try folder()
    let repository = try ResticRepository(context, config, channel: channel)
    let manifest = pass.manifest.map { ["name=\($0.name)", "manifest=\($0.digest.prefix(16))"] } ?? []
    let tags = Self.tags(context, pass: pass.number) + manifest + (config.tags ?? [])
    var command = try repository.command(
      ["backup", "--json", "--tag", tags.joined(separator: ",")] + config.rules + targets(source))
    // Relative to its parent the folder is the snapshot's one root, with its own metadata, wherever it is.
    command.directory = Files.parent(of: source)
    let (report, snapshot) = try repository.unlocking {
      try ResticBackup(context: context).run(command, repository, isFinal: pass.isFinal)
    }
    if config.selects { try ResticListing.save(snapshot, repository, root: name(of: source), to: selectionPath) }
    return (report, snapshot)
  }

  private func name(of folder: String) -> String { String(folder.split(separator: "/").last ?? "") }

  /// What restic is told to read: the folder, or what `include-file` names in it.
  private func targets(_ source: String) throws -> [String] {
    let name = name(of: source)
    guard let path = config.includeFile else { return ["./\(name)"] }
    let lines = String(decoding: try Files.read(path), as: UTF8.self).split(whereSeparator: \.isNewline)
    let patterns = try ResticPatterns.rooted(lines, name: name, folder: source)
    guard !patterns.isEmpty else { throw FerryError(.precondition, "\(path) names nothing", hint: "a line is a pattern below \(source)") }
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

  /// What the latest snapshot holds; nil for everything.
  func selection() throws -> TreeSelection? { config.selects ? try ResticListing.read(selectionPath) : nil }

  /// Removes what was moved and nothing else.
  func retire() throws {
    guard Files.exists(config.endpoint.path) else { return }
    guard let resolved = realpath(config.endpoint.path, nil) else {
      throw FerryError(errno: errno, "cannot read the source \(config.endpoint.path)")
    }
    defer { free(resolved) }
    let path = String(cString: resolved)
    guard path != "/", Files.isFolder(path) else { throw FerryError(.precondition, "\(path) is nothing that Ferry removes") }
    try TreeRemoval.remove(path, selection: try selection(), keepingRoot: StagedFolder.isMountPoint(path))
  }
}

/// Lines of an `include-file`, which begin at the folder, as restic must see them: it begins at the folder's parent.
enum ResticPatterns {
  static func rooted(_ lines: [Substring], name: String, folder: String) throws -> [String] {
    try lines.compactMap { line in
      var text = line.drop(while: \.isWhitespace)
      while text.last?.isWhitespace == true { text.removeLast() }
      if text.isEmpty || text.hasPrefix("#") { return nil }
      if text.hasPrefix("\(folder)/") { text = text.dropFirst(folder.count + 1) }
      guard !text.hasPrefix("/"), !text.split(separator: "/").contains("..") else {
        throw FerryError(.invalid, "the include-file names \(text), which is not below \(folder)")
      }
      return "./\(escaped(name))/\(text)"
    }
  }

  /// A folder's own name is no pattern, whatever is in it.
  private static func escaped(_ name: String) -> String {
    name.map { "*?[\\".contains($0) ? "\\\($0)" : String($0) }.joined()
  }
}
