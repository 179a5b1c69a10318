import Ferry

/// The keys of a provider's JSON Schema, as a table for people.
struct SchemaKeys {
  private(set) var rows: [[String]] = []
  /// `from.path` and the like.
  var paths: [String] { rows.map { $0[0] } }

  init(_ schema: JSONValue) { add(schema, below: "") }

  private mutating func add(_ schema: JSONValue, below prefix: String) {
    let required = Set((schema["required"]?.array ?? []).compactMap(\.string))
    for (name, value) in (schema["properties"]?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
      let inner = value["properties"]?.object ?? [:]
      let kind = value["type"]?.string ?? value["enum"]?.array?.compactMap(\.string).joined(separator: " | ") ?? ""
      if inner.isEmpty {
        rows.append([prefix + name, required.contains(name) ? "\(kind), needed" : kind, value["description"]?.string ?? ""])
      } else {
        add(value, below: "\(prefix)\(name).")
      }
    }
  }
}
