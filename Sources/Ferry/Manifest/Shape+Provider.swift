extension Shape {
  /// A provider's JSON Schema as a shape. Keywords that Ferry does not check are refused, so that none is silently ignored.
  init(jsonSchema schema: JSONValue) throws {
    try self.init(schema, Scope(definitions: schema["$defs"]?.object ?? [:]))
  }

  /// Where in a schema a part of it stands.
  private struct Scope {
    var definitions: [String: JSONValue]
    /// The definitions that are being read: one inside itself would never end.
    var open: [String] = []
    var depth = 0

    var deeper: Scope { Scope(definitions: definitions, open: open, depth: depth + 1) }
  }

  private init(_ schema: JSONValue, _ scope: Scope) throws {
    func refuse(_ what: String) -> FerryError { FerryError(.unsupported, what) }
    guard scope.depth < 16 else { throw refuse("it is nested too deep") }
    if schema == .bool(true) {
      self = .any
      return
    }
    guard let members = schema.object else { throw refuse("a schema is an object, not \(schema.text)") }
    if let reference = members["$ref"]?.string {
      let name = reference.hasPrefix("#/$defs/") ? String(reference.dropFirst(8)) : ""
      guard let definition = scope.definitions[name] else { throw refuse("'$ref' names \(reference), and only '#/$defs/NAME' is followed") }
      guard !scope.open.contains(name) else { throw refuse("'$ref' leads back to itself in \(reference)") }
      guard members.keys.allSatisfy({ ["$ref", "description", "default", "title", "$comment"].contains($0) }) else {
        throw refuse("beside '$ref' there can be 'description' and 'default' only")
      }
      var inner = scope.deeper
      inner.open.append(name)
      try self.init(definition, inner)
      return
    }
    if let stranger = members.keys.filter({ !Self.keywords.contains($0) }).min() {
      throw refuse("'\(stranger)' is not one of the keywords that Ferry checks")
    }
    var types = try Self.types(members["type"])
    let alternatives = members["oneOf"]?.array ?? []
    let onlyRequired = !alternatives.isEmpty && alternatives.allSatisfy { $0.object.map { Array($0.keys) == ["required"] } ?? false }
    if types.isEmpty, members["properties"] != nil || onlyRequired { types = ["object"] }
    if types.isEmpty, members["items"] != nil { types = ["array"] }
    if types.isEmpty, let first = members["enum"]?.array?.first { types = [first.schemaType] }
    if !alternatives.isEmpty && !onlyRequired {
      guard types.isEmpty else { throw refuse("'oneOf' stands either beside 'type: object' with 'required' only, or alone") }
      self.init(.oneOf(try alternatives.map { try Shape($0, scope.deeper) }))
    } else if types.count == 1 {
      self.init(try Self.kind(types[0], members, scope))
    } else if types.isEmpty {
      self = .any
    } else {
      self.init(.oneOf(try types.map { Shape(try Self.kind($0, members, scope)) }))
    }
    allowed = members["enum"]?.array
  }

  private static let keywords: Set<String> = [
    "$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples", "type", "properties", "required",
    "additionalProperties",
    "enum", "pattern", "items", "minItems", "minimum", "maximum", "minLength", "oneOf",
  ]

  private static func types(_ value: JSONValue?) throws -> [String] {
    switch value {
    case nil: return []
    case .string(let type): return [type]
    case .array(let types): return types.compactMap(\.string)
    default: throw FerryError(.unsupported, "'type' is a word or a list of words")
    }
  }

  private static func kind(_ type: String, _ members: [String: JSONValue], _ scope: Scope) throws -> Kind {
    func number(_ key: String) -> Double? {
      switch members[key] {
      case .int(let value): Double(value)
      case .double(let value): value
      default: nil
      }
    }
    switch type {
    case "string":
      let pattern = try members["pattern"]?.string.map { try Pattern($0) }
      return .text(Text(pattern: pattern, minLength: Int(members["minLength"]?.int ?? 0)))
    case "boolean": return .bool
    case "null": return .null
    case "integer": return .int(minimum: number("minimum"), maximum: number("maximum"))
    case "number": return .number(minimum: number("minimum"), maximum: number("maximum"))
    case "array":
      let element = try members["items"].map { try Shape($0, scope.deeper) } ?? .any
      return .list(of: element, atLeast: Int(members["minItems"]?.int ?? 0))
    case "object": return .record(try record(members, scope))
    default: throw FerryError(.unsupported, "'\(type)' is no type")
    }
  }

  private static func record(_ members: [String: JSONValue], _ scope: Scope) throws -> Record {
    let required = Set((members["required"]?.array ?? []).compactMap(\.string))
    let properties = members["properties"]?.object ?? [:]
    var fields: [Field] = []
    for key in Set(properties.keys).union(required).sorted() {
      let schema = properties[key] ?? true
      fields.append(
        Field(
          key: key, shape: try Shape(schema, scope.deeper), doc: schema["description"]?.string ?? "",
          isRequired: required.contains(key), defaultValue: schema["default"]))
    }
    let rest: Shape? =
      switch members["additionalProperties"] {
      case nil, .bool(true): .any
      case .bool(false): nil
      case .some(let schema): try Shape(schema, scope.deeper)
      }
    let groups = (members["oneOf"]?.array ?? []).map { ($0["required"]?.array ?? []).compactMap(\.string) }
    return Record(fields: fields, rest: rest, exactlyOne: groups)
  }
}

extension JSONValue {
  fileprivate var schemaType: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .int, .unsigned: "integer"
    case .double: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }
}
