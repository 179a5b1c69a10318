/// What a value may be. One table of shapes is the source of the parser, the JSON Schema and the reference of the docs.
struct Shape: Sendable {
  indirect enum Kind: Sendable {
    case any
    case null
    case bool
    case text(Text)
    case int(minimum: Double?, maximum: Double?)
    case number(minimum: Double?, maximum: Double?)
    case list(of: Shape, atLeast: Int)
    case record(Record)
    case oneOf([Shape])
  }

  var kind: Kind
  /// The only values that are right, if there is such a list.
  var allowed: [JSONValue]?
  /// Words for messages: "must be …".
  var expect: String?
  /// What to do about a wrong value.
  var hint = ""
  /// Messages never show the value.
  var isSecret = false

  init(_ kind: Kind, allowed: [JSONValue]? = nil, expect: String? = nil, hint: String = "", isSecret: Bool = false) {
    self.kind = kind
    self.allowed = allowed
    self.expect = expect
    self.hint = hint
    self.isSecret = isSecret
  }

  /// A text and what is asked of it.
  struct Text: Sendable {
    var pattern: Pattern?
    var minLength = 0
    /// What a pattern cannot say: nil, or what is wrong with the text.
    var problem: (@Sendable (String) -> String?)?
  }

  /// A map: named fields, and what other keys may hold.
  struct Record: Sendable {
    var fields: [Field]
    /// The shape of keys that are not fields; nil: there are none.
    var rest: Shape?
    /// What a key that is not a field looks like.
    var restKeys: Pattern?
    /// Exactly one of these groups of keys must be there, whole.
    var exactlyOne: [[String]] = []
    /// Keys that belong here for another reader's sake; only for suggestions.
    var alsoKnown: [String] = []
    /// What an element of a list of these is called in messages: "state 'site'".
    var noun: String?

    func field(_ key: String) -> Field? { fields.first { $0.key == key } }
  }

  /// A key of a map.
  struct Field: Sendable {
    var key: String
    var shape: Shape
    /// One line for a person.
    var doc: String
    var isRequired = false
    var defaultValue: JSONValue?
    /// The default in words, where it is none that a schema can give.
    var defaultWords = ""
  }
}

extension Shape {
  static let any = Shape(.any)
  static let bool = Shape(.bool)

  /// A text that is not empty; `pattern` must be one that `Pattern` takes, which a test proves for all in the table.
  static func text(
    _ pattern: String? = nil, minLength: Int = 1, expect: String? = nil, hint: String = "", isSecret: Bool = false,
    problem: (@Sendable (String) -> String?)? = nil
  ) -> Shape {
    let text = Text(pattern: pattern.flatMap { try? Pattern($0) }, minLength: minLength, problem: problem)
    return Shape(.text(text), expect: expect, hint: hint, isSecret: isSecret)
  }

  /// One of a few words.
  static func word<Words: CaseIterable & RawRepresentable>(_ type: Words.Type) -> Shape where Words.RawValue == String {
    Shape(.text(Text()), allowed: type.allCases.map { .string($0.rawValue) })
  }

  static func int(_ minimum: Int, _ maximum: Int) -> Shape { Shape(.int(minimum: Double(minimum), maximum: Double(maximum))) }

  static func list(_ element: Shape, atLeast: Int = 0, expect: String? = nil, hint: String = "", isSecret: Bool = false) -> Shape {
    Shape(.list(of: element, atLeast: atLeast), expect: expect, hint: hint, isSecret: isSecret)
  }

  static func record(_ fields: [Field], exactlyOne: [String] = [], noun: String? = nil) -> Shape {
    Shape(.record(Record(fields: fields, exactlyOne: exactlyOne.map { [$0] }, noun: noun)))
  }

  /// A map from names of the author's choice.
  static func map(_ element: Shape, keys: String) -> Shape {
    Shape(.record(Record(fields: [], rest: element, restKeys: try? Pattern(keys))))
  }

  static let duration = Shape.text(
    Quantity.durationPattern, expect: "a duration", hint: "write it as 30s, 5m, 1h30m or 500ms",
    problem: { text in
      guard let duration = Quantity.duration(text) else { return nil }
      if duration == .zero { return "must be longer than nothing" }
      return duration > .seconds(366 * 86400) ? "must be at most 366d" : nil
    })

  static let size = Shape.text(
    Quantity.sizePattern, expect: "a size", hint: "write it as 200MB/s or 1GiB; B is a byte",
    problem: { text in
      guard let bytes = Quantity.bytes(text) else { return "is too large" }
      return bytes == 0 ? "must be more than nothing" : nil
    })

  static let command = Shape.list(
    .text(minLength: 0), atLeast: 1, expect: "a list: the program and its arguments",
    hint: "no shell takes part; write [program, argument] or [sh, -c, \"…\"]")
}

extension Shape.Field {
  static func key(
    _ key: String, _ shape: Shape, _ doc: String, required: Bool = false, default value: JSONValue? = nil, words: String = ""
  ) -> Self {
    Self(key: key, shape: shape, doc: doc, isRequired: required, defaultValue: value, defaultWords: words)
  }
}
