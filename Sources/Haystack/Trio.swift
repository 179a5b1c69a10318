import FerrySystem

/// Trio, record by record: one tag a line, records parted by lines of dashes.
public final class TrioReader {
  private let input: TextReader
  private var line: [UInt8] = []

  /// Reads records from a text.
  public init(_ input: TextReader) { self.input = input }

  /// The next record, or nil after the last.
  public func next() throws -> PackedDict? {
    var found = PackedTags()
    var count = 0
    while try input.peek() != nil {
      if try isBlankOrComment() { continue }
      if try input.peek() == 0x2d {
        try takeLine()
        if count > 0 { break }
        continue
      }
      try tag(into: &found)
      count += 1
    }
    guard count > 0 else { return nil }
    guard let bytes = found.sorted else { throw input.error("the record above has a tag twice") }
    return PackedDict(bytes: bytes)
  }

  private func takeLine() throws {
    line.removeAll(keepingCapacity: true)
    try input.take(into: &line) { $0 != 0x0a }
    _ = try input.take(0x0a)
    if line.last == 0x0d { line.removeLast() }
  }

  private func isBlankOrComment() throws -> Bool {
    guard let byte = try input.peek() else { return false }
    switch byte {
    case 0x0a, 0x0d, 0x20, 0x09:
      try takeLine()
      guard line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) else {
        throw input.error("the line above begins with a space, and no tag's text goes on")
      }
      return true
    case 0x2f where try input.peek(1) == 0x2f:
      try takeLine()
      return true
    default: return false
    }
  }

  private func tag(into found: inout PackedTags) throws {
    var scalars = ScalarReader(input)
    let index = found.begin(try scalars.name())
    defer { found.end(index) }
    try input.skipSpaces()
    guard try input.take(0x3a) else {
      guard try input.peek() == nil || input.peek() == 0x0a || input.peek() == 0x0d else {
        throw input.error("expected ':' or the end of the line, found \(try input.shown())")
      }
      try takeLine()
      return found.builder.marker()
    }
    try input.skipSpaces()
    if let byte = try input.peek(), "\"`@^[{<".utf8.contains(byte) {
      // What opens as a value is one, over as many lines as it takes.
      var parser = ZincParser(input)
      try parser.value(into: &found.builder, depth: 0)
      return try parser.newline()
    }
    try takeLine()
    while line.last == 0x20 || line.last == 0x09 { line.removeLast() }
    if line.isEmpty || line == Array("Zinc:".utf8) || line == Array("Trio:".utf8) {
      let form = line
      let text = try indented()
      if form.isEmpty { return found.builder.string(text) }
      if form == Array("Zinc:".utf8) { return found.builder.append(.grid(try ZincReader.grid(String(decoding: text, as: UTF8.self)))) }
      let nested = TrioReader(TextReader("nested trio", bytes: text))
      var rows: [HDict] = []
      while let row = try nested.next() { rows.append(row.tree) }
      return found.builder.append(.dict(rows.first ?? [:]))
    }
    try value(line, into: &found.builder)
  }

  /// The lines that are set in, without what they are set in by.
  private func indented() throws -> [UInt8] {
    var lines: [[UInt8]] = []
    while let byte = try input.peek(), byte == 0x20 || byte == 0x09 || byte == 0x0a {
      try takeLine()
      lines.append(line)
    }
    while lines.last?.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) == true { lines.removeLast() }
    let margin = lines.filter { !$0.isEmpty }.map { $0.prefix { $0 == 0x20 || $0 == 0x09 }.count }.min() ?? 0
    let text = Array(lines.map { $0.dropFirst(margin) }.joined(separator: [0x0a]))
    try input.validate(text[...])
    return text
  }

  /// A text that needs no quotes is what is no other value.
  private func value(_ text: [UInt8], into builder: inout PackedBuilder) throws {
    let string = String(decoding: text, as: UTF8.self)
    switch string {
    case "true", "T": builder.kind(Packed.Kind.yes)
    case "false", "F": builder.kind(Packed.Kind.no)
    default:
      if let value = try? ZincReader.value(string) { return builder.append(value) }
      try input.validate(text[...])
      builder.string(text)
    }
  }
}

/// Trio, written record by record.
public enum TrioWriter {
  /// One record, and the line that ends it.
  public static func text(_ record: HDict) -> String {
    var text = ""
    let names = record.tags.keys.sorted { ($0 == "id" ? 0 : 1, $0) < ($1 == "id" ? 0 : 1, $1) }
    for name in names {
      guard let value = record[name] else { continue }
      if case .marker = value {
        text += "\(name)\n"
      } else if case .grid(let grid) = value {
        text +=
          "\(name):Zinc:\n" + ZincWriter.text(grid).split(separator: "\n", omittingEmptySubsequences: true).map { "  \($0)\n" }.joined()
      } else {
        text += "\(name):\(ZincWriter.text(value))\n"
      }
    }
    return text + "---\n"
  }
}
