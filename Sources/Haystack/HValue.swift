/// A value of Haystack 4, as a tree. Stores, digests and filters work on the packed form; this one is for people's code.
public indirect enum HValue: Sendable, Hashable {
  case marker, na, remove
  case bool(Bool)
  case number(HNumber)
  case string(String)
  case uri(String)
  case ref(HRef)
  case symbol(String)
  case date(HDate)
  case time(HTime)
  case dateTime(HDateTime)
  case coord(HCoord)
  case xstr(HXStr)
  /// An element without a value is nil.
  case list([HValue?])
  case dict(HDict)
  case grid(HGrid)

  /// Strings are equal by their code units, as everywhere in Haystack; Swift's own equality would fold canonical equivalents.
  public static func == (left: HValue, right: HValue) -> Bool { Packed(left).bytes == Packed(right).bytes }

  /// Over the packed form, as equality is.
  public func hash(into hasher: inout Hasher) { hasher.combine(Packed(self).bytes) }
}

/// A number with an optional unit.
public struct HNumber: Sendable {
  /// The value; may be NaN or infinite.
  public var value: Double
  /// The unit's symbol, or empty.
  public var unit: String

  /// A number.
  public init(_ value: Double, _ unit: String = "") {
    self.value = value
    self.unit = unit
  }
}

/// A reference to a record. Its display name is for people: it is no part of what the reference is, and the packed form drops it.
public struct HRef: Sendable {
  /// The id without the leading `@`.
  public var id: String
  /// What a server displays for it, or nil.
  public var dis: String?

  /// A reference.
  public init(_ id: String, dis: String? = nil) {
    self.id = id
    self.dis = dis
  }

  /// Whether a text can be a reference's id: letters, digits and `_ : - . ~`.
  public static func isID(_ text: some StringProtocol) -> Bool { !text.isEmpty && text.utf8.allSatisfy(Characters.isRef) }

  /// The same for bytes.
  public static func isID(_ text: UnsafeRawBufferPointer) -> Bool { !text.isEmpty && text.allSatisfy(Characters.isRef) }
}

/// A place on earth, in degrees.
public struct HCoord: Sendable {
  /// North of the equator.
  public var latitude: Double
  /// East of Greenwich.
  public var longitude: Double

  /// A coordinate; nil outside of ±90 and ±180 degrees.
  public init?(latitude: Double, longitude: Double) {
    guard abs(latitude) <= 90, abs(longitude) <= 180 else { return nil }
    self.latitude = latitude
    self.longitude = longitude
  }
}

/// A text of a type that is named.
public struct HXStr: Sendable {
  /// The type, a capital first.
  public var type: String
  /// The text.
  public var value: String

  /// A typed text.
  public init(type: String, value: String) {
    self.type = type
    self.value = value
  }
}

/// Tags by name.
public struct HDict: Sendable, ExpressibleByDictionaryLiteral {
  /// The tags.
  public var tags: [String: HValue]

  /// A dict of tags.
  public init(_ tags: [String: HValue] = [:]) { self.tags = tags }

  /// A dict literal; of a name that stands there twice the last counts.
  public init(dictionaryLiteral elements: (String, HValue)...) { tags = Dictionary(elements) { $1 } }

  /// The value of a tag, or nil.
  public subscript(name: String) -> HValue? {
    get { tags[name] }
    set { tags[name] = newValue }
  }

  /// The record's id, or nil.
  public var id: HRef? { if case .ref(let ref) = tags["id"] { ref } else { nil } }
}

/// A table of dicts with columns and metadata.
public struct HGrid: Sendable {
  /// A column.
  public struct Column: Sendable {
    /// The name of the tag that its cells are.
    public var name: String
    /// What is said of the column.
    public var meta: HDict
    /// A column.
    public init(_ name: String, meta: HDict = [:]) {
      self.name = name
      self.meta = meta
    }
  }
  /// What is said of the whole.
  public var meta: HDict
  /// The columns, in their order.
  public var columns: [Column]
  /// One dict a row; a cell without a value is not in it.
  public var rows: [HDict]

  /// A grid. Without columns, they are the rows' tags: `id` first, `mod` last, sorted in between.
  public init(meta: HDict = [:], columns: [Column]? = nil, rows: [HDict] = []) {
    self.meta = meta
    self.columns = columns ?? Self.columns(of: rows.lazy.flatMap(\.tags.keys)).map { Column($0) }
    self.rows = rows
  }

  /// Names in the order of a grid without columns of its own.
  public static func columns(of names: some Sequence<String>) -> [String] {
    func place(_ name: String) -> Int { name == "id" ? 0 : name == "mod" ? 2 : 1 }
    let sorted = Set(names).sorted { (place($0), $0) < (place($1), $1) }
    return sorted.isEmpty ? ["empty"] : sorted
  }

  /// What a server says instead of an answer, or nil: failures come as grids too.
  public var failure: String? {
    guard meta["err"] != nil else { return nil }
    if case .string(let text) = meta["dis"] { return text }
    return "the server gives no reason"
  }
}

/// The characters of Haystack's tokens, as bytes.
enum Characters {
  static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
  static func isUpper(_ byte: UInt8) -> Bool { byte >= 0x41 && byte <= 0x5a }
  static func isLower(_ byte: UInt8) -> Bool { byte >= 0x61 && byte <= 0x7a }
  static func isLetter(_ byte: UInt8) -> Bool { isUpper(byte) || isLower(byte) }
  static func isName(_ byte: UInt8) -> Bool { isLetter(byte) || isDigit(byte) || byte == 0x5f }
  static func isRef(_ byte: UInt8) -> Bool { isName(byte) || byte == 0x3a || byte == 0x2d || byte == 0x2e || byte == 0x7e }
  /// Units: letters, `% _ / $` and all that is not ASCII.
  static func isUnit(_ byte: UInt8) -> Bool {
    isLetter(byte) || byte == 0x25 || byte == 0x5f || byte == 0x2f || byte == 0x24 || byte >= 0x80
  }
  static func isZone(_ byte: UInt8) -> Bool { isName(byte) || byte == 0x2d || byte == 0x2b || byte == 0x2f }

  /// Whether a text can be a tag's name.
  static func isTag(_ text: some Collection<UInt8>) -> Bool {
    guard let first = text.first, isLetter(first) || first == 0x5f else { return false }
    return text.allSatisfy(isName)
  }
  static func hex(_ byte: UInt8) -> UInt32? {
    switch byte {
    case 0x30...0x39: UInt32(byte - 0x30)
    case 0x41...0x46: UInt32(byte - 0x37)
    case 0x61...0x66: UInt32(byte - 0x57)
    default: nil
    }
  }
}
