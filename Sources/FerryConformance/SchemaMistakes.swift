import Ferry
import FerrySystem

/// Every slip of the hand that a schema must notice in an item that is right: a required key left out, a key that nobody knows, a value of the
/// wrong type.
struct SchemaMistakes {
  struct Mistake {
    var words: String
    /// Which key is meant.
    var key: String
    var item: JSONValue
  }

  private static let stranger = "no-key-of-anybody"
  private let schema: JSONValue

  init(_ schema: JSONValue) { self.schema = schema }

  func all(in item: JSONValue) -> [Mistake] { object(schema, item, at: []) }

  /// In one object and those below it; `path` leads there.
  private func object(_ written: JSONValue, _ value: JSONValue, at path: [String]) -> [Mistake] {
    let schema = resolved(written)
    guard let known = schema["properties"]?.object, value.object != nil else { return [] }
    let place = path.isEmpty ? "the item" : "'\(path.joined(separator: "."))'"
    var found: [Mistake] = []
    for key in (schema["required"]?.array ?? []).compactMap(\.string) where value[key] != nil {
      // The destination is what `from` says where there is no `to`.
      if path.isEmpty && key == "to" { continue }
      var less = value.object ?? [:]
      less[key] = nil
      found.append(Mistake(words: "\(place) without '\(key)'", key: key, item: .object(less)))
    }
    if schema["additionalProperties"]?.object == nil {
      found.append(Mistake(words: "an unknown key in \(place)", key: Self.stranger, item: with(value, Self.stranger, true)))
    }
    for (key, inner) in known.sorted(by: { $0.key < $1.key }) {
      if let wrong = wrong(for: inner) {
        found.append(Mistake(words: "a wrong type of '\(key)' in \(place)", key: key, item: with(value, key, wrong)))
      }
      guard let below = value[key] else { continue }
      found += object(inner, below, at: path + [key]).map { mistake in
        Mistake(words: mistake.words, key: mistake.key, item: with(value, key, mistake.item))
      }
    }
    return found
  }

  private func with(_ object: JSONValue, _ key: String, _ value: JSONValue) -> JSONValue {
    var changed = object
    changed[key] = value
    return changed
  }

  private func resolved(_ schema: JSONValue) -> JSONValue {
    guard let name = schema["$ref"]?.string, name.hasPrefix("#/$defs/") else { return schema }
    return self.schema["$defs"]?[String(name.dropFirst(8))] ?? [:]
  }

  /// A value that the schema cannot mean; nil where it takes anything.
  private func wrong(for written: JSONValue) -> JSONValue? {
    let types = types(written)
    guard !types.isEmpty else { return nil }
    if !types.contains("array") { return ["wrong"] }
    if !types.contains("object") { return ["wrong": true] }
    return types.contains("string") ? nil : "wrong"
  }

  private func types(_ written: JSONValue) -> Set<String> {
    let schema = resolved(written)
    if let type = schema["type"]?.string { return [type] }
    if let types = schema["type"]?.array { return Set(types.compactMap(\.string)) }
    if schema["properties"] != nil { return ["object"] }
    if schema["items"] != nil { return ["array"] }
    if let words = schema["enum"]?.array, words.allSatisfy({ $0.string != nil }) { return ["string"] }
    let alternatives = schema["oneOf"]?.array ?? []
    let each = alternatives.map { types($0) }
    return each.contains([]) ? [] : Set(each.joined())
  }
}
