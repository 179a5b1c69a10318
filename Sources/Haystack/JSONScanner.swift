import FerrySystem

/// JSON as it comes, with the place of what is wrong in it.
struct JSONScanner {
  /// A value; an object's members in their order.
  indirect enum Tree {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([Tree])
    case object([(name: String, value: Tree)])

    subscript(name: String) -> Tree? { if case .object(let members) = self { members.first { $0.name == name }?.value } else { nil } }
    var string: String? { if case .string(let text) = self { text } else { nil } }
    var number: Double? { if case .number(let value) = self { value } else { nil } }
  }

  let input: TextReader

  func blank() throws { while let byte = try input.peek(), byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { input.skip() } }

  func expect(_ byte: UInt8) throws {
    try blank()
    guard try input.take(byte) else { throw input.error("expected '\(Character(Unicode.Scalar(byte)))', found \(try input.shown())") }
    try blank()
  }

  /// Takes a byte and the spaces around it, if it comes next.
  func take(_ byte: UInt8) throws -> Bool {
    try blank()
    guard try input.take(byte) else { return false }
    try blank()
    return true
  }

  func value(depth: Int = 0) throws -> Tree {
    guard depth <= 2 * Packed.maximumDepth else { throw input.error("values lie deeper than \(2 * Packed.maximumDepth) in each other") }
    try blank()
    switch try input.peek() {
    case 0x22: return .string(try string())
    case 0x7b:
      input.skip()
      var members: [(name: String, value: Tree)] = []
      if try take(0x7d) { return .object(members) }
      var seen: Set<String> = []
      repeat {
        try blank()
        let name = try string()
        guard seen.insert(name).inserted else { throw input.error("'\(name)' is there twice") }
        try expect(0x3a)
        members.append((name, try value(depth: depth + 1)))
      } while try take(0x2c)
      try close(0x7d)
      return .object(members)
    case 0x5b:
      input.skip()
      var elements: [Tree] = []
      if try take(0x5d) { return .array(elements) }
      repeat { elements.append(try value(depth: depth + 1)) } while try take(0x2c)
      try close(0x5d)
      return .array(elements)
    case UInt8(ascii: "t"):
      try input.expect("true")
      return .bool(true)
    case UInt8(ascii: "f"):
      try input.expect("false")
      return .bool(false)
    case UInt8(ascii: "n"):
      try input.expect("null")
      return .null
    case .some(0x2d), .some(0x30...0x39): return .number(try number())
    default: throw input.error("expected a value, found \(try input.shown())")
    }
  }

  private func close(_ byte: UInt8) throws {
    guard try input.take(byte) else {
      throw input.error("expected ',' or '\(Character(Unicode.Scalar(byte)))', found \(try input.shown())")
    }
  }

  private func number() throws -> Double {
    var text: [UInt8] = []
    try input.take(into: &text, limit: 400) { Characters.isDigit($0) || $0 == 0x2d || $0 == 0x2b || $0 == 0x2e || $0 == 0x65 || $0 == 0x45 }
    guard let value = Double(String(decoding: text, as: UTF8.self)) else {
      throw input.error("'\(String(decoding: text, as: UTF8.self))' is no number")
    }
    return value
  }

  func string() throws -> String {
    guard try input.take(0x22) else { throw input.error("expected a text in quotes, found \(try input.shown())") }
    var bytes: [UInt8] = []
    while true {
      try input.take(into: &bytes) { $0 != 0x22 && $0 != 0x5c && $0 >= 0x20 }
      guard let byte = try input.peek() else { throw input.error("a text has no closing quote") }
      guard byte >= 0x20 else { throw input.error("a control character stands in a text") }
      input.skip()
      if byte == 0x22 { break }
      try escape(into: &bytes)
      if bytes.count > Packed.maximumText { throw input.error("a value is longer than \(Packed.maximumText) bytes") }
    }
    try input.validate(bytes[...])
    return String(decoding: bytes, as: UTF8.self)
  }

  private func escape(into bytes: inout [UInt8]) throws {
    switch try input.next() {
    case UInt8(ascii: "b"): bytes.append(0x08)
    case UInt8(ascii: "f"): bytes.append(0x0c)
    case UInt8(ascii: "n"): bytes.append(0x0a)
    case UInt8(ascii: "r"): bytes.append(0x0d)
    case UInt8(ascii: "t"): bytes.append(0x09)
    case 0x22: bytes.append(0x22)
    case 0x5c: bytes.append(0x5c)
    case 0x2f: bytes.append(0x2f)
    case UInt8(ascii: "u"):
      var scalar = try unit()
      if scalar >= 0xd800, scalar < 0xdc00 {
        try input.expect("\\u")
        let low = try unit()
        guard low >= 0xdc00, low < 0xe000 else { throw input.error("half a surrogate pair") }
        scalar = 0x10000 + (scalar - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let found = Unicode.Scalar(scalar) else { throw input.error("half a surrogate pair") }
      bytes += Array(String(Character(found)).utf8)
    default: throw input.error("an unknown escape")
    }
  }

  private func unit() throws -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = try input.peek(), let digit = Characters.hex(byte) else {
        throw input.error("an escape needs four hexadecimal digits")
      }
      value = value << 4 | digit
      input.skip()
    }
    return value
  }
}

/// A grid in JSON, read row by row: Hayson, and version 3 of Haystack's older JSON.
public final class JSONGridReader {
  /// How values are written.
  public enum Form: Sendable {
    /// Haystack 4: values as JSON's own, or objects with `_kind`.
    case hayson
    /// Haystack 3: texts with a letter and a colon in front.
    case version3
  }
  /// The grid's metadata, as far as it came before the rows.
  public private(set) var meta = HDict()
  /// The columns, as far as they came before the rows.
  public private(set) var columns: [HGrid.Column] = []

  private let scanner: JSONScanner
  private let form: Form
  private var state = State.before
  private var sawMeta = false
  private enum State { case before, firstRow, rows, over }

  /// Reads up to the rows. A list of dicts is taken for a grid of them.
  public init(_ input: TextReader, form: Form = .hayson) throws {
    scanner = JSONScanner(input: input)
    self.form = form
    if try scanner.take(0x5b) {
      state = .firstRow
      isList = true
      return
    }
    try scanner.expect(0x7b)
    try members(first: true)
  }
  private var isList = false

  /// The next row, or nil after the last.
  public func next() throws -> PackedDict? {
    guard state == .firstRow || state == .rows else { return nil }
    let isFirst = state == .firstRow
    state = .rows
    if try scanner.take(0x5d) {
      guard isFirst else { throw scanner.input.error("expected a row, found ']'") }
      try endOfRows()
      return nil
    }
    let row = try scanner.value()
    guard case .dict(let dict)? = try tree(row) else { throw scanner.input.error("a row is no object") }
    if try !scanner.take(0x2c) {
      guard try scanner.take(0x5d) else { throw scanner.input.error("expected ',' or ']', found \(try scanner.input.shown())") }
      try endOfRows()
    }
    return PackedDict(dict)
  }

  private func endOfRows() throws {
    if isList { try end() } else { try members(first: false) }
  }

  private func end() throws {
    state = .over
    try scanner.blank()
    guard try scanner.input.peek() == nil else {
      throw scanner.input.error("the grid has ended, and here stands \(try scanner.input.shown())")
    }
  }

  /// The grid's members, up to its rows or its end.
  private func members(first: Bool) throws {
    var first = first
    while true {
      if try scanner.take(0x7d) { return try end() }
      if !first { try scanner.expect(0x2c) }
      first = false
      let name = try scanner.string()
      try scanner.expect(0x3a)
      switch name {
      case "rows":
        try scanner.expect(0x5b)
        guard state == .before else { throw scanner.input.error("'rows' is there twice") }
        state = .firstRow
        return
      case "meta":
        guard case .dict(let dict)? = try tree(scanner.value()) else { throw scanner.input.error("'meta' is no object") }
        meta = dict
        meta["ver"] = nil
      case "cols": columns = try columns(scanner.value())
      case "_kind":
        guard try scanner.value().string == "grid" else { throw scanner.input.error("this is no grid") }
      default: _ = try scanner.value()
      }
    }
  }

  private func tree(_ json: JSONScanner.Tree) throws -> HValue? {
    do { return try form == .hayson ? Hayson.value(json) : JSON3.value(json) } catch let error as Hayson.Bad {
      throw scanner.input.error(error.what)
    }
  }

  private func columns(_ json: JSONScanner.Tree) throws -> [HGrid.Column] {
    guard case .array(let list) = json else { throw scanner.input.error("'cols' is no list") }
    return try list.map { json in
      guard case .object(let members) = json, let name = json["name"]?.string else { throw scanner.input.error("a column has no name") }
      var meta = HDict()
      if let own = json["meta"] {
        guard case .dict(let dict)? = try tree(own) else { throw scanner.input.error("a column's 'meta' is no object") }
        meta = dict
      } else {
        for member in members where member.name != "name" { meta[member.name] = try tree(member.value) }
      }
      return HGrid.Column(name, meta: meta)
    }
  }

  /// A whole grid of a text.
  public static func grid(_ text: some StringProtocol, form: Form = .hayson) throws -> HGrid {
    let reader = try JSONGridReader(TextReader("json", text: text), form: form)
    var rows: [HDict] = []
    while let row = try reader.next() { rows.append(row.tree) }
    return HGrid(meta: reader.meta, columns: reader.columns.isEmpty ? nil : reader.columns, rows: rows)
  }
}
