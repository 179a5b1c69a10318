import FoundationEssentials

/// A JSON value of any shape.
public enum JSONValue: Sendable, Hashable, Codable {
  case null
  case bool(Bool)
  case int(Int64)
  /// A whole number above `Int64.max`: nothing that is decoded loses a bit.
  case unsigned(UInt64)
  case double(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// Decodes whatever is there; whole numbers come as `int`.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int64.self) {
      self = .int(value)
    } else if let value = try? container.decode(UInt64.self) {
      self = .unsigned(value)
    } else if let value = try? container.decode(Double.self) {
      self = .double(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  /// Encodes the plain value.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .int(let value): try container.encode(value)
    case .unsigned(let value): try container.encode(value)
    case .double(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }

  /// Parses JSON text.
  public init(parsing text: some StringProtocol) throws {
    self = try JSONValue.decode(JSONValue.self, from: Array(text.utf8))
  }

  /// The value as a type of the caller's.
  public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
    try JSONValue.decode(type, from: JSONValue.encode(self))
  }

  /// Any encodable value as a JSON value.
  public init(encoding value: some Encodable) throws {
    self = try JSONValue.decode(JSONValue.self, from: JSONValue.encode(value))
  }

  /// One line of JSON with sorted keys and plain slashes: the form of the journal, the receipt and the protocols.
  public static func encode(_ value: some Encodable, pretty: Bool = false) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = pretty ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted] : [.sortedKeys, .withoutEscapingSlashes]
    do { return Array(try encoder.encode(value)) } catch {
      throw FerryError(.internal, "a value has no JSON form: \(error)")
    }
  }

  /// Decodes JSON bytes; an error says what was expected.
  public static func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
    do { return try JSONDecoder().decode(type, from: Data(bytes)) } catch let error as DecodingError {
      throw FerryError(.invalid, "not the JSON that was expected: \(error.reason)")
    } catch {
      throw FerryError(.invalid, "not JSON")
    }
  }

  /// One line of JSON.
  public var text: String { (try? JSONValue.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "null" }

  /// The member of an object, or nil.
  public subscript(key: String) -> JSONValue? {
    get { if case .object(let members) = self { members[key] } else { nil } }
    set {
      var members = object ?? [:]
      members[key] = newValue
      self = .object(members)
    }
  }

  /// The text of a string, or nil.
  public var string: String? { if case .string(let value) = self { value } else { nil } }
  /// A whole number, or nil.
  public var int: Int64? {
    switch self {
    case .int(let value): value
    case .double(let value): Int64(exactly: value)
    default: nil
    }
  }
  /// A truth value, or nil.
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  /// The elements of an array, or nil.
  public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  /// The members of an object, or nil.
  public var object: [String: JSONValue]? { if case .object(let value) = self { value } else { nil } }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  /// A string literal.
  public init(stringLiteral value: String) { self = .string(value) }
  /// A whole-number literal.
  public init(integerLiteral value: Int64) { self = .int(value) }
  /// A truth literal.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// An array literal.
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  /// A dictionary literal; of a key that stands there twice the last counts.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(Dictionary(elements) { _, last in last })
  }
  /// The literal `nil` is JSON's null, not an absent value.
  public init(nilLiteral: ()) { self = .null }
}

extension DecodingError {
  fileprivate var reason: String {
    func place(_ context: Context) -> String {
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
    }
    return switch self {
    case .keyNotFound(let key, let context): "'\(key.stringValue)' is missing. \(place(context))"
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context): place(context)
    @unknown default: "it cannot be read"
    }
  }
}
