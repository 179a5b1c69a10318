extension Shape {
  /// A provider's JSON Schema as a shape. Keywords that Ferry does not check are refused, so that none is silently ignored.
  init(jsonSchema schema: JSONValue, depth: Int = 0) throws {
    func refuse(_ what: String) -> FerryError { FerryError(.unsupported, what) }
    guard depth < 16 else { throw refuse("it is nested too deep") }
    if schema == .bool(true) {
      self = .any
      return
    }
    guard let members = schema.object else { throw refuse("a schema is an object, not \(schema.text)") }
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
      self.init(.oneOf(try alternatives.map { try Shape(jsonSchema: $0, depth: depth + 1) }))
    } else if types.count == 1 {
      self.init(try Self.kind(types[0], members, depth: depth))
    } else if types.isEmpty {
      self = .any
    } else {
      self.init(.oneOf(try types.map { Shape(try Self.kind($0, members, depth: depth)) }))
    }
    allowed = members["enum"]?.array
  }

  private static let keywords: Set<String> = [
    "$schema", "$id", "$comment", "title", "description", "default", "examples", "type", "properties", "required", "additionalProperties",
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

  private static func kind(_ type: String, _ members: [String: JSONValue], depth: Int) throws -> Kind {
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
      let element = try members["items"].map { try Shape(jsonSchema: $0, depth: depth + 1) } ?? .any
      return .list(of: element, atLeast: Int(members["minItems"]?.int ?? 0))
    case "object": return .record(try record(members, depth: depth))
    default: throw FerryError(.unsupported, "'\(type)' is no type")
    }
  }

  private static func record(_ members: [String: JSONValue], depth: Int) throws -> Record {
    let required = Set((members["required"]?.array ?? []).compactMap(\.string))
    let properties = members["properties"]?.object ?? [:]
    var fields: [Field] = []
    for key in Set(properties.keys).union(required).sorted() {
      let schema = properties[key] ?? true
      fields.append(
        Field(
          key: key, shape: try Shape(jsonSchema: schema, depth: depth + 1), doc: schema["description"]?.string ?? "",
          isRequired: required.contains(key), defaultValue: schema["default"]))
    }
    let rest: Shape? =
      switch members["additionalProperties"] {
      case nil, .bool(true): .any
      case .bool(false): nil
      case .some(let schema): try Shape(jsonSchema: schema, depth: depth + 1)
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
    case .int: "integer"
    case .double: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }
}
