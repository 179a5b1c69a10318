import FerrySystem
import Glibc

/// The plugins of this node. No plugin is loaded into this process: each describes itself in a process of its own, once for each state
/// of its file.
public final class PluginCatalog: Sendable {
  let folders: [String]
  private let lock: PluginLock?
  private let executable: String
  private let cache: PluginCache

  /// A catalog over folders; in an earlier one a file hides those of the same name in later ones, and a provider those of the same id.
  /// `executable` is the `ferry` that hosts plugins; `cache` a folder of this user's for what they said (nil: not kept).
  public init(folders: [String], lock: PluginLock?, executable: String, cache: String?) {
    self.folders = folders
    self.lock = lock
    self.executable = executable
    self.cache = PluginCache(folder: cache)
  }

  /// All plugins, in order of preference, each with what it offers or why it cannot be used.
  public func plugins() -> [PluginDescription] { paths().map(describe) }

  /// The file of a provider.
  public func provider(_ id: String) throws -> PluginFile { try find(id).file }

  /// What a provider says about itself.
  public func description(of id: String) throws -> ProviderDescription { try find(id).description }

  /// What one file offers, or why it cannot be used; it need not be in a plugin folder.
  public func plugin(at path: String) -> PluginDescription { describe(Files.absolute(path)) }

  private func find(_ id: String) throws -> (file: PluginFile, description: ProviderDescription) {
    var known: [String] = []
    var broken: [String] = []
    for path in paths() {
      let plugin = describe(path)
      if let file = plugin.file, let found = plugin.module?.providers.first(where: { $0.id == id }) { return (file, found) }
      known += plugin.module?.providers.map(\.id) ?? []
      if let error = plugin.error { broken.append(error.description) }
    }
    var message = "no plugin has the provider '\(id)'"
    if !broken.isEmpty { message += "; not usable: \(broken.joined(separator: "; "))" }
    let places = "in \(folders.joined(separator: ", "))"
    throw FerryError(
      .notFound, message,
      hint: known.isEmpty ? "there are no plugins \(places)" : "there are: \(Set(known).sorted().joined(separator: ", ")); \(places)")
  }

  private func paths() -> [String] {
    var seen: Set<String> = []
    return folders.flatMap { folder in
      Files.names(in: folder).filter { name in
        PluginFile.suffixes.contains { name.hasSuffix($0) } && !name.hasPrefix(".") && seen.insert(name).inserted
      }.map { "\(folder)/\($0)" }
    }
  }

  private func describe(_ path: String) -> PluginDescription {
    var plugin = PluginDescription(path: path)
    do {
      let resolved = try PluginTrust.resolve(path)
      let stamp = try FileStamp(resolved)
      let known = cache.entry(for: resolved, stamp)
      let file = PluginFile(path: resolved, sha256: try known?.sha256 ?? SHA256.hex(of: Descriptor.open(resolved, O_RDONLY)))
      plugin.file = file
      // A pin is checked before the file's first byte runs, even to be described.
      try lock?.check(file)
      let module = try known?.module ?? ask(file)
      if known == nil { cache.keep(PluginCache.Entry(stamp: stamp, sha256: file.sha256, module: module), for: resolved) }
      plugin.module = module
    } catch {
      plugin.error = FerryError.wrap(error)
    }
    return plugin
  }

  private func ask(_ file: PluginFile) throws -> PluginModule {
    try host(file, ["--describe", file.path, file.sha256], timeout: .seconds(60)).decode(PluginModule.self)
  }

  /// What a host of its own answers that is started for one question.
  private func host(_ file: PluginFile, _ arguments: [String], timeout: Duration?) throws -> JSONValue {
    let place = "plugin \(file.path)"
    var command = Command([executable, "host"] + arguments, environment: HostCommand.environment, timeout: timeout)
    command.grace = .milliseconds(200)
    let outcome = try command.run()
    guard outcome.succeeded else {
      throw FerryError(.internal, "\(place) cannot be loaded: \(outcome.reason)", hint: "update or remove it")
    }
    let answer: HostAnswer
    do { answer = try JSONValue.decode(HostAnswer.self, from: Array(outcome.output.utf8)) } catch {
      throw FerryError(.internal, "\(place) ended its host before it had answered", hint: "update or remove it")
    }
    if let error = answer.error { throw error }
    return answer.reply ?? .null
  }
}

extension PluginCatalog {
  /// What a call's name says: the descriptor's file, without its suffix, and the call.
  private func find(call name: String) throws -> (file: PluginFile, call: String) {
    let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
    let all = plugins().filter { $0.path.hasSuffix(PluginFile.descriptorSuffix) }
    if let found = all.first(where: { $0.callPrefix == parts.first }), parts.count == 2 {
      if let error = found.error { throw error }
      if let file = found.file, found.module?.calls?.contains(parts[1]) == true { return (file, parts[1]) }
    }
    let known = all.flatMap { plugin in (plugin.module?.calls ?? []).map { "\(plugin.callPrefix).\($0)" } }.sorted()
    let near = Suggestion.nearest(to: name, in: known).map { "did you mean '\($0)'? " } ?? ""
    throw FerryError(
      .notFound, "no descriptor has the call '\(name)'",
      hint: "\(near)there are \(known.isEmpty ? "none" : known.joined(separator: ", ")) in \(folders.joined(separator: ", "))")
  }

  /// Whether there is such a call.
  public func check(call name: String) throws { _ = try find(call: name) }

  /// Does what a descriptor has under `calls`, in a host of its own, and answers what was counted. `name` is DESCRIPTOR.CALL.
  public func call(_ name: String, _ values: [String: String], timeout: Duration? = nil) throws -> JSONValue {
    let (file, call) = try find(call: name)
    return try host(file, ["--call", file.path, file.sha256, call, JSONValue(encoding: values).text], timeout: timeout)
  }
}
