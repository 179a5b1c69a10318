import FerrySystem

/// `repositories`: stores that are described once and named by the items that use them. An item's `repository: vault/wiki/one` becomes the
/// store's address with that sub-path; what the store says of options, environment and secrets is laid under the item's own.
struct ManifestRepositories {
  let typed: JSONValue

  /// What an item's `repository` names: the store and the rest of the path. nil: it is an address, or the item has none.
  static func split(_ text: String) -> (name: String, path: String)? {
    guard !text.contains(":"), !text.hasPrefix("/"), !text.hasPrefix(".") else { return nil }
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
  }

  /// The item's configuration and secrets as its provider and the nodes get them.
  func fill(_ config: JSONValue, secrets: inout [String: SecretReference]) -> JSONValue {
    guard let text = config["repository"]?.string, let (name, path) = Self.split(text), let store = typed[name] else { return config }
    var config = config
    let url = store["url"]?.string ?? ""
    config["repository"] = .string(path.isEmpty ? url : "\(url.hasSuffix("/") ? String(url.dropLast()) : url)/\(path)")
    for key in ["options", "environment"] {
      let lines = (store[key]?.array ?? []) + (config[key]?.array ?? [])
      if !lines.isEmpty { config[key] = .array(lines) }
    }
    for (key, value) in store["secrets"]?.object ?? [:] where secrets[key] == nil {
      if let reference = SecretReference(reference: value) { secrets[key] = reference }
    }
    return config
  }
}
