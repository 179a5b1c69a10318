/// A plugin on this node, as it may be loaded: where, and exactly which bytes.
public struct PluginFile: Sendable, Codable, Hashable {
  /// Absolute, links resolved.
  public var path: String
  /// Of the whole file, hex. A host loads nothing else.
  public var sha256: String

  /// A file that was found trustworthy.
  public init(path: String, sha256: String) {
    self.path = path
    self.sha256 = sha256
  }

  /// The file's name: what `ferry.lock` and messages call it.
  public var name: String { path.split(separator: "/").last.map(String.init) ?? path }
}

/// What a plugin says about itself.
public struct PluginModule: Sendable, Codable, Hashable {
  /// For people.
  public var name: String
  /// The plugin's own.
  public var version: String
  /// Who made it.
  public var vendor: String
  /// The ABI's minor version that it was built with.
  public var abiMinor: Int
  /// At least one, but for a descriptor that has `calls`.
  public var providers: [ProviderDescription]
  /// Of a descriptor: what `ferry call` can do with it.
  public var calls: [String]?
}

/// One provider, as its plugin describes it.
public struct ProviderDescription: Sendable, Codable, Hashable {
  /// What a manifest writes under `provider`.
  public var id: String
  /// One line for people.
  public var summary: String
  /// JSON Schema of an item's keys.
  public var schema: JSONValue
}

/// One file of the plugin folders: what it is, or why it cannot be used.
public struct PluginDescription: Sendable, Codable, Hashable {
  /// As found, links not resolved.
  public var path: String
  /// nil if the file cannot be trusted.
  public var file: PluginFile?
  /// nil if there is an `error`.
  public var module: PluginModule?
  /// Why it cannot be used.
  public var error: FerryError?

  /// What stands before the names of a descriptor's calls: its file's name without the suffix.
  public var callPrefix: String {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    return name.hasSuffix(PluginFile.descriptorSuffix) ? String(name.dropLast(PluginFile.descriptorSuffix.count)) : name
  }
}
