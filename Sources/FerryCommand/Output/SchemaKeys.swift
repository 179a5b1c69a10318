import Ferry

/// The keys of a provider's JSON Schema, as a table for people.
struct SchemaKeys {
  /// A key with its path, what it takes, and what it means.
  private(set) var rows: [[String]] = []
  private let definitions: [String: JSONValue]
  /// `from.path` and the like.
  var paths: [String] { rows.map { $0[0] } }

  init(_ schema: JSONValue) {
    definitions = schema["$defs"]?.object ?? [:]
    add(schema, below: "", depth: 0)
  }

  private mutating func add(_ schema: JSONValue, below prefix: String, depth: Int) {
    let required = Set((schema["required"]?.array ?? []).compactMap(\.string))
    for (name, member) in (schema["properties"]?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
      let value = resolved(member)
      // A schema that refers to itself has no end; no manifest is that deep.
      guard value["properties"] == nil || depth > 8 else {
        add(value, below: "\(prefix)\(name).", depth: depth + 1)
        continue
      }
      let kind = value["type"]?.string ?? value["enum"]?.array?.compactMap(\.string).joined(separator: " | ") ?? ""
      let need = required.contains(name) ? "needed" : ""
      rows.append([prefix + name, [kind, need].filter { !$0.isEmpty }.joined(separator: ", "), value["description"]?.string ?? ""])
    }
  }

  private func resolved(_ schema: JSONValue) -> JSONValue {
    guard let name = schema["$ref"]?.string?.split(separator: "/").last else { return schema }
    return definitions[String(name)] ?? schema
  }
}
