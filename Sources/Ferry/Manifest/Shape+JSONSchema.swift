extension Shape {
  /// The shape as a JSON Schema to publish.
  func jsonSchema(title: String, description: String) -> JSONValue {
    var schema = jsonSchema
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = .string(title)
    schema["description"] = .string(description)
    return schema
  }

  /// The shape as JSON Schema.
  var jsonSchema: JSONValue {
    var schema: JSONValue = [:]
    switch kind {
    case .any: break
    case .null: schema["type"] = "null"
    case .bool: schema["type"] = "boolean"
    case .text(let text):
      schema["type"] = "string"
      if text.minLength > 0 { schema["minLength"] = .int(Int64(text.minLength)) }
      if let pattern = text.pattern { schema["pattern"] = .string(pattern.text) }
    case .int(let minimum, let maximum):
      schema["type"] = "integer"
      schema["minimum"] = minimum.map(Self.number)
      schema["maximum"] = maximum.map(Self.number)
    case .number(let minimum, let maximum):
      schema["type"] = "number"
      schema["minimum"] = minimum.map(Self.number)
      schema["maximum"] = maximum.map(Self.number)
    case .list(let element, let atLeast):
      schema["type"] = "array"
      schema["items"] = element.jsonSchema
      if atLeast > 0 { schema["minItems"] = .int(Int64(atLeast)) }
    case .oneOf(let shapes): schema["oneOf"] = .array(shapes.map(\.jsonSchema))
    case .record(let record): schema = record.jsonSchema
    }
    if let allowed { schema["enum"] = .array(allowed) }
    return schema
  }

  private static func number(_ value: Double) -> JSONValue { Int64(exactly: value).map { .int($0) } ?? .double(value) }
}

extension Shape.Record {
  fileprivate var jsonSchema: JSONValue {
    var schema: JSONValue = ["type": "object"]
    if !fields.isEmpty {
      schema["properties"] = .object(Dictionary(uniqueKeysWithValues: fields.map { ($0.key, $0.jsonSchema) }))
    }
    let required = fields.filter(\.isRequired).map { JSONValue.string($0.key) }
    if !required.isEmpty { schema["required"] = .array(required) }
    schema["additionalProperties"] = rest?.jsonSchema ?? false
    if let restKeys, fields.isEmpty { schema["propertyNames"] = ["pattern": .string(restKeys.text)] }
    if !exactlyOne.isEmpty {
      schema["oneOf"] = .array(exactlyOne.map { ["required": .array($0.map { .string($0) })] })
    }
    return schema
  }
}

extension Shape.Field {
  fileprivate var jsonSchema: JSONValue {
    var schema = shape.jsonSchema
    schema["description"] = .string(doc)
    schema["default"] = defaultValue
    return schema
  }
}
