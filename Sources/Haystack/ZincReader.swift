import FerrySystem

/// Zinc 3 (and 2), read row by row: a grid of any length takes the memory of one row.
public final class ZincReader {
  /// The grid's metadata.
  public let meta: HDict
  /// The columns.
  public let columns: [HGrid.Column]

  private var parser: ZincParser
  private let order: ColumnOrder
  private var cells = PackedBuilder()
  private var ranges: [Range<Int>]

  /// Reads up to the columns. With `endsWithLine`, a last line without an end is an error: the text was cut.
  public init(_ input: TextReader, endsWithLine: Bool = false) throws {
    parser = ZincParser(input, endsWithLine: endsWithLine)
    meta = try parser.header()
    columns = try parser.columns()
    order = ColumnOrder(columns)
    ranges = Array(repeating: 0..<0, count: columns.count)
  }

  /// The next row, or nil after the last.
  public func next() throws -> PackedDict? {
    guard let byte = try parser.input.peek(), byte != 0x0a, byte != 0x0d else {
      try parser.endOfGrid()
      return nil
    }
    try parser.cells(into: &cells, &ranges, order)
    var row = PackedBuilder()
    row.bytes.reserveCapacity(cells.bytes.count)
    order.append(cells.bytes, ranges, to: &row)
    return PackedDict(bytes: row.bytes)
  }

  /// A whole grid of a text.
  public static func grid(_ text: some StringProtocol) throws -> HGrid {
    let reader = try ZincReader(TextReader("zinc", text: text))
    var rows: [HDict] = []
    while let row = try reader.next() { rows.append(row.tree) }
    return HGrid(meta: reader.meta, columns: reader.columns, rows: rows)
  }

  /// One value of a text.
  public static func value(_ text: some StringProtocol) throws -> HValue? {
    var parser = ZincParser(TextReader("zinc", text: text))
    var builder = PackedBuilder()
    try parser.value(into: &builder, depth: 0)
    guard try parser.input.peek() == nil else { throw parser.input.error("the value ends before \(try parser.input.shown())") }
    return Packed(bytes: builder.bytes).tree
  }
}

/// A grid's columns as they come and as records have them, by name.
struct ColumnOrder {
  /// Each column's name as it is packed.
  let names: [[UInt8]]
  /// The columns in the order of their names; nil if that is how they come.
  private let sorted: [Int]?

  init(_ columns: [HGrid.Column]) {
    let texts = columns.map { Array($0.name.utf8) }
    names = texts.map {
      var builder = PackedBuilder()
      builder.name($0)
      return builder.bytes
    }
    let sorted = texts.indices.sorted { texts[$0].lexicographicallyPrecedes(texts[$1]) }
    self.sorted = sorted.elementsEqual(texts.indices) ? nil : sorted
  }

  /// Appends a row's tags.
  func append(_ cells: [UInt8], _ ranges: [Range<Int>], to builder: inout PackedBuilder) {
    guard let sorted else { return builder.raw(cells) }
    cells.withUnsafeBytes { for index in sorted { builder.raw(UnsafeRawBufferPointer(rebasing: $0[ranges[index]])) } }
  }
}

/// The grammar.
struct ZincParser {
  let input: TextReader
  private var scalars: ScalarReader
  private var text: [UInt8] = []

  private let endsWithLine: Bool

  init(_ input: TextReader, endsWithLine: Bool = false) {
    self.input = input
    self.endsWithLine = endsWithLine
    scalars = ScalarReader(input)
  }

  mutating func header() throws -> HDict {
    // Some servers begin with a byte order mark.
    if try input.peek() == 0xef, try input.peek(1) == 0xbb, try input.peek(2) == 0xbf { for _ in 0..<3 { input.skip() } }
    try input.expect("ver:\"")
    guard try input.take(0x33) || input.take(0x32) else { throw input.error("Zinc of version \(try input.shown()) is unknown") }
    try input.expect(".0\"")
    let meta = try tags(depth: 0)
    try newline()
    return meta
  }

  mutating func columns() throws -> [HGrid.Column] {
    var columns: [HGrid.Column] = []
    var seen: Set<[UInt8]> = []
    repeat {
      try input.skipSpaces()
      let name = try scalars.name()
      guard seen.insert(name).inserted else { throw input.error("column '\(String(decoding: name, as: UTF8.self))' is there twice") }
      columns.append(HGrid.Column(String(decoding: name, as: UTF8.self), meta: try tags(depth: 0)))
      guard columns.count <= 65_536 else { throw input.error("more than 65,536 columns") }
    } while try input.take(0x2c)
    try newline()
    return columns
  }

  /// `name` and `name:value`, with spaces before them.
  private mutating func tags(depth: Int) throws -> HDict {
    var found = PackedTags()
    while true {
      try input.skipSpaces()
      guard let byte = try input.peek(), Characters.isName(byte) else { break }
      try tag(into: &found, depth: depth)
    }
    return PackedDict(bytes: try sorted(found)).tree
  }

  private mutating func tag(into found: inout PackedTags, depth: Int) throws {
    let name = try scalars.name()
    let start = found.begin(name)
    try input.skipSpaces()
    if try input.take(0x3a) {
      try input.skipSpaces()
      try value(into: &found.builder, depth: depth + 1)
    } else {
      found.builder.marker()
    }
    found.end(start)
  }

  private func sorted(_ found: PackedTags) throws -> [UInt8] {
    guard let bytes = found.sorted else { throw input.error("a tag is there twice") }
    return bytes
  }

  func newline() throws {
    try input.skipSpaces()
    _ = try input.take(0x0d)
    if try input.peek() == nil, endsWithLine { throw input.error("the grid ends in the middle of a line") }
    guard try input.peek() == nil || input.take(0x0a) else { throw input.error("expected the end of the line, found \(try input.shown())") }
  }

  /// What may follow the last row: empty lines.
  func endOfGrid() throws {
    while let byte = try input.peek(), byte == 0x0a || byte == 0x0d || byte == 0x20 { input.skip() }
    guard try input.peek() == nil else { throw input.error("the grid has ended, and here stands \(try input.shown())") }
  }

  /// One row: each cell with its name. One without a value has an empty range.
  mutating func cells(into cells: inout PackedBuilder, _ ranges: inout [Range<Int>], _ order: ColumnOrder) throws {
    try appendCells(into: &cells, &ranges, order, depth: 0)
    try newline()
  }

  private mutating func appendCells(into cells: inout PackedBuilder, _ ranges: inout [Range<Int>], _ order: ColumnOrder, depth: Int) throws
  {
    cells.clear()
    for index in ranges.indices {
      if index > 0 {
        guard try input.take(0x2c) else {
          throw input.error("the row has \(index) cells, there are \(ranges.count) columns")
        }
      }
      try input.skipSpaces()
      let start = cells.bytes.count
      if let byte = try input.peek(), byte != 0x2c, byte != 0x0a, byte != 0x0d {
        cells.raw(order.names[index])
        let value = cells.bytes.count
        try self.value(into: &cells, depth: depth)
        if cells.bytes.count == value + 1, cells.bytes[value] == Packed.Kind.null { cells.bytes.removeSubrange(start...) }
        try input.skipSpaces()
      }
      ranges[index] = start..<cells.bytes.count
    }
  }

  mutating func value(into builder: inout PackedBuilder, depth: Int) throws {
    guard depth <= Packed.maximumDepth else { throw input.error("values lie deeper than \(Packed.maximumDepth) in each other") }
    guard let byte = try input.peek() else { throw input.error("expected a value, found the end") }
    switch byte {
    case 0x22:
      input.skip()
      if let plain = input.takeInPlace(closing: byte, while: { $0 != 0x22 && $0 != 0x5c }) {
        try input.validate(plain)
        return builder.string(plain)
      }
      text.removeAll(keepingCapacity: true)
      try scalars.quoted(0x22, into: &text)
      builder.string(text)
    case 0x60:
      input.skip()
      text.removeAll(keepingCapacity: true)
      try scalars.quoted(0x60, into: &text)
      builder.text(Packed.Kind.uri, text)
    case 0x40:
      input.skip()
      try scalars.ref(into: &builder)
      if try input.peek() == 0x20, try input.peek(1) == 0x22 {
        input.skip()
        input.skip()
        text.removeAll(keepingCapacity: true)
        try scalars.quoted(0x22, into: &text)
      }
    case 0x5e:
      input.skip()
      try scalars.symbol(into: &builder)
    case 0x30...0x39, 0x2d: try scalars.numeric(into: &builder)
    case 0x5b: try list(into: &builder, depth: depth)
    case 0x7b:
      input.skip()
      let start = builder.open(Packed.Kind.dict)
      builder.bytes += try dict(depth: depth)
      builder.close(start)
    case 0x3c: try nested(into: &builder, depth: depth)
    default:
      guard Characters.isLetter(byte) else { throw input.error("expected a value, found \(try input.shown())") }
      // Most words are markers.
      if byte == 0x4d, let next = try input.peek(1), !Characters.isName(next), next != 0x28 {
        input.skip()
        return builder.marker()
      }
      try word(into: &builder)
    }
  }

  private mutating func list(into builder: inout PackedBuilder, depth: Int) throws {
    input.skip()
    let start = builder.open(Packed.Kind.list)
    while true {
      try skipBlank()
      if try input.take(0x5d) { break }
      try value(into: &builder, depth: depth + 1)
      try skipBlank()
      if try input.take(0x2c) { continue }
      guard try input.take(0x5d) else { throw input.error("expected ',' or ']', found \(try input.shown())") }
      break
    }
    builder.close(start)
  }

  private mutating func dict(depth: Int) throws -> [UInt8] {
    var found = PackedTags()
    while true {
      try skipBlank()
      if try input.take(0x7d) { break }
      try tag(into: &found, depth: depth)
      try skipBlank()
      _ = try input.take(0x2c)
    }
    return try sorted(found)
  }

  private func skipBlank() throws {
    while let byte = try input.peek(), byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { input.skip() }
  }

  private mutating func nested(into builder: inout PackedBuilder, depth: Int) throws {
    try input.expect("<<")
    try skipBlank()
    let meta = try header()
    let columns = try columns()
    let order = ColumnOrder(columns)
    let whole = builder.open(Packed.Kind.grid)
    let start = builder.openLength()
    builder.append(tags: meta)
    builder.close(start)
    builder.fixed(UInt32(columns.count))
    for column in columns {
      builder.name(column.name.utf8)
      let start = builder.openLength()
      builder.append(tags: column.meta)
      builder.close(start)
    }
    var cells = PackedBuilder()
    var ranges = Array(repeating: 0..<0, count: columns.count)
    while true {
      while let byte = try input.peek(), byte == 0x0a || byte == 0x0d { input.skip() }
      if try input.peek() == 0x3e, try input.peek(1) == 0x3e { break }
      try appendCells(into: &cells, &ranges, order, depth: depth + 1)
      let row = builder.openLength()
      order.append(cells.bytes, ranges, to: &builder)
      builder.close(row)
      // The last row's line may end with the grid.
      if try input.peek() != 0x3e { try newline() }
    }
    try input.expect(">>")
    builder.close(whole)
  }

  private mutating func word(into builder: inout PackedBuilder) throws {
    let word = String(decoding: try scalars.name(), as: UTF8.self)
    if try input.peek() == 0x28 { return try call(word, into: &builder) }
    switch word {
    case "M": builder.kind(Packed.Kind.marker)
    case "T": builder.kind(Packed.Kind.yes)
    case "F": builder.kind(Packed.Kind.no)
    case "N": builder.kind(Packed.Kind.null)
    case "R": builder.kind(Packed.Kind.remove)
    case "NA": builder.kind(Packed.Kind.na)
    case "NaN": builder.number(.nan, unit: [])
    case "INF": builder.number(.infinity, unit: [])
    default: throw input.error("'\(word)' is no value; texts stand in quotes")
    }
  }

  private mutating func call(_ word: String, into builder: inout PackedBuilder) throws {
    input.skip()
    text.removeAll(keepingCapacity: true)
    if try input.take(0x22) {
      try scalars.quoted(0x22, into: &text)
    } else {
      // C(37.5,-77.4), and Zinc 2's Bin(text/plain).
      try input.take(into: &text, limit: 4096) { $0 != 0x29 && $0 != 0x0a }
      try input.validate(text[...])
    }
    try input.expect(")")
    if word == "C" {
      let parts = text.split(separator: 0x2c, maxSplits: 2, omittingEmptySubsequences: false).map {
        Double(String(decoding: $0, as: UTF8.self))
      }
      guard parts.count == 2, let latitude = parts[0], let longitude = parts[1],
        let coord = HCoord(latitude: latitude, longitude: longitude)
      else { throw input.error("a coordinate is C(latitude,longitude), within ±90 and ±180 degrees") }
      return builder.coord(coord)
    }
    guard let first = word.utf8.first, Characters.isUpper(first) else { throw input.error("the type '\(word)' needs a capital first") }
    builder.text(Packed.Kind.xstr, word.utf8)
    builder.varint(text.count)
    builder.bytes += text
  }
}

/// Tags as they come, to be sorted at the end.
struct PackedTags {
  var builder = PackedBuilder()
  private var found: [(name: [UInt8], value: Range<Int>)] = []

  mutating func begin(_ name: [UInt8]) -> Int {
    found.append((name, builder.bytes.count..<builder.bytes.count))
    return found.count - 1
  }

  mutating func end(_ index: Int) { found[index].value = found[index].value.lowerBound..<builder.bytes.count }

  /// Nil if a name is there twice. A tag without a value is not a tag.
  var sorted: [UInt8]? {
    PackedDict.sorted(
      found.filter { $0.value.count != 1 || builder.bytes[$0.value.lowerBound] != Packed.Kind.null }
        .map { (name: $0.name[...], value: builder.bytes[$0.value]) })
  }
}
