extension ManifestSchema {
  /// The reference of the docs: a table for each map of keys.
  static func reference() -> String {
    var sections: [String] = []
    describe(root, as: ["the manifest"], path: "", in: &sections)
    return sections.joined(separator: "\n")
  }

  private static func describe(_ shape: Shape, as names: [String], path: String, in sections: inout [String]) {
    guard case .record(let record) = shape.kind else { return }
    if !record.fields.isEmpty {
      let rows = record.fields.map { "| `\($0.key)` | \(words($0.shape)) | \(fallback($0)) | \($0.doc) |\n" }
      let only =
        record.exactlyOne.isEmpty ? "" : "\nExactly one of \(record.exactlyOne.joined().map { "`\($0)`" }.joined(separator: ", ")).\n"
      let title = names.map { path.isEmpty ? $0 : "`\($0)`" }.joined(separator: ", ")
      sections.append("### \(title)\n\(only)\n| key | value | without it | what it says |\n|---|---|---|---|\n\(rows.joined())")
    }
    // Keys of the same make, such as source and destination, share a table.
    var groups: [(names: [String], shape: Shape)] = []
    for field in record.fields {
      let (inner, suffix) = element(field.shape)
      guard case .record(let candidate) = inner.kind, !candidate.fields.isEmpty else { continue }
      let name = "\(path)\(field.key)\(suffix)"
      if let last = groups.last, case .record(let previous) = last.shape.kind, previous.fields.map(\.doc) == candidate.fields.map(\.doc) {
        groups[groups.count - 1].names.append(name)
      } else {
        groups.append(([name], inner))
      }
    }
    for group in groups { describe(group.shape, as: group.names, path: "\(group.names[0]).", in: &sections) }
  }

  /// What a list or a free map holds.
  private static func element(_ shape: Shape) -> (Shape, String) {
    switch shape.kind {
    case .list(let inner, _): (inner, "[]")
    case .record(let record) where record.fields.isEmpty: (record.rest ?? .any, ".NAME")
    default: (shape, "")
    }
  }

  private static func words(_ shape: Shape) -> String {
    if let allowed = shape.allowed { return allowed.map { "`\($0.string ?? $0.text)`" }.joined(separator: ", ", last: " or ") }
    if let expect = shape.expect { return expect }
    return switch shape.kind {
    case .bool: "`true` or `false`"
    case .int(let minimum?, let maximum?): "\(Int64(minimum)) to \(Int64(maximum))"
    case .int, .number: "a number"
    case .list(let element, _): "a list: \(words(element))"
    case .record(let record) where record.fields.isEmpty && record.restKeys != nil: "a map from names"
    case .record: "a map"
    case .text: "a text"
    default: "anything"
    }
  }

  private static func fallback(_ field: Shape.Field) -> String {
    if field.isRequired { return "required" }
    if let value = field.defaultValue {
      if value.object != nil || value == [] { return "" }
      return "`\(value.string ?? value.text)`"
    }
    return field.defaultWords
  }
}
