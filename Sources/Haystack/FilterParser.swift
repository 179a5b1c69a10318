import FerrySystem

/// The filter's grammar: `or` of `and` of conditions; `not` and comparisons stand before a path and behind one.
struct FilterParser {
  let input: TextReader
  private var scalars: ScalarReader

  init(_ input: TextReader) {
    self.input = input
    scalars = ScalarReader(input)
  }

  mutating func whole() throws -> Filter.Node {
    let node = try or(depth: 0)
    guard try input.peek() == nil else { throw input.error("the filter has ended, and here stands \(try input.shown())") }
    return node
  }

  private mutating func or(depth: Int) throws -> Filter.Node {
    var node = try and(depth: depth)
    while try takeWord("or") { node = .or(node, try and(depth: depth)) }
    return node
  }

  private mutating func and(depth: Int) throws -> Filter.Node {
    var node = try term(depth: depth)
    while try takeWord("and") { node = .and(node, try term(depth: depth)) }
    return node
  }

  private mutating func term(depth: Int) throws -> Filter.Node {
    guard depth <= 64 else { throw input.error("parentheses lie deeper than 64 in each other") }
    try blank()
    if try input.take(0x28) {
      let node = try or(depth: depth + 1)
      guard try input.take(0x29) else { throw input.error("expected ')', found \(try input.shown())") }
      try blank()
      return node
    }
    // A tag may be named `not`: then no path follows it.
    if try isWord("not"), try isNameAfter(3) {
      for _ in 0..<3 { input.skip() }
      try blank()
      return .missing(try path())
    }
    let path = try path()
    guard let comparison = try comparison() else { return .has(path) }
    try blank()
    var builder = PackedBuilder()
    try literal(into: &builder)
    try blank()
    return .compare(path, comparison, Filter.Literal(packed: builder.bytes))
  }

  private mutating func path() throws -> Filter.Path {
    var names = [try scalars.name()]
    try blank()
    while try input.peek() == 0x2d, try input.peek(1) == 0x3e {
      input.skip()
      input.skip()
      try blank()
      names.append(try scalars.name())
      try blank()
      guard names.count <= 16 else { throw input.error("a path has more than 16 names") }
    }
    return Filter.Path(names: names)
  }

  private func comparison() throws -> Filter.Comparison? {
    if try input.take(0x3d) {
      guard try input.take(0x3d) else { throw input.error("expected '==', found '=' alone") }
      return .equal
    }
    if try input.take(0x21) {
      guard try input.take(0x3d) else { throw input.error("expected '!=', found '!' alone; `not` asks for a missing tag") }
      return .notEqual
    }
    if try input.take(0x3c) { return try input.take(0x3d) ? .lessOrEqual : .less }
    if try input.take(0x3e) { return try input.take(0x3d) ? .greaterOrEqual : .greater }
    return nil
  }

  private mutating func literal(into builder: inout PackedBuilder) throws {
    guard let byte = try input.peek() else { throw input.error("expected a value to compare with, found the end") }
    switch byte {
    case 0x22, 0x60:
      input.skip()
      var text: [UInt8] = []
      try scalars.quoted(byte, into: &text)
      if byte == 0x22 { builder.string(text) } else { builder.text(Packed.Kind.uri, text) }
    case 0x40:
      input.skip()
      try scalars.ref(into: &builder)
    case 0x5e:
      input.skip()
      try scalars.symbol(into: &builder)
    case 0x30...0x39, 0x2d: try scalars.numeric(into: &builder)
    default:
      guard Characters.isLetter(byte) else { throw input.error("expected a value to compare with, found \(try input.shown())") }
      let error = input.error("expected a value to compare with, found \(try input.shown()); texts stand in quotes")
      switch String(decoding: try scalars.name(), as: UTF8.self) {
      case "true", "T": builder.kind(Packed.Kind.yes)
      case "false", "F": builder.kind(Packed.Kind.no)
      case "NaN": builder.number(.nan, unit: [])
      case "INF": builder.number(.infinity, unit: [])
      default: throw error
      }
    }
  }

  /// Spaces, line ends, `// …` and nested `/* … */`.
  private func blank() throws {
    while let byte = try input.peek() {
      switch byte {
      case 0x20, 0x09, 0x0a, 0x0d: input.skip()
      case 0x2f where try input.peek(1) == 0x2f: while let byte = try input.peek(), byte != 0x0a { input.skip() }
      case 0x2f where try input.peek(1) == 0x2a: try comment()
      default: return
      }
    }
  }

  private func comment() throws {
    let error = input.error("a comment has no end")
    var depth = 0
    repeat {
      guard let byte = try input.next() else { throw error }
      if byte == 0x2f, try input.take(0x2a) { depth += 1 } else if byte == 0x2a, try input.take(0x2f) { depth -= 1 }
    } while depth > 0
  }

  private func isWord(_ word: StaticString) throws -> Bool {
    for index in 0..<word.utf8CodeUnitCount where try input.peek(index) != word.utf8Start[index] { return false }
    return try input.peek(word.utf8CodeUnitCount).map { !Characters.isName($0) } ?? true
  }

  private func takeWord(_ word: StaticString) throws -> Bool {
    try blank()
    guard try isWord(word) else { return false }
    for _ in 0..<word.utf8CodeUnitCount { input.skip() }
    try blank()
    return true
  }

  /// Whether a name comes next, and not the `and` or `or` that would follow a tag named `not`.
  private func isNameAfter(_ start: Int) throws -> Bool {
    var ahead = start
    while let byte = try input.peek(ahead), byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { ahead += 1 }
    guard let byte = try input.peek(ahead), Characters.isLetter(byte) || byte == 0x5f, ahead > start else {
      // A comment between the two can only be told from a comparison by what it is.
      return try input.peek(ahead) == 0x2f
    }
    var name: [UInt8] = []
    while let byte = try input.peek(ahead), Characters.isName(byte) {
      name.append(byte)
      ahead += 1
    }
    guard name == Array("and".utf8) || name == Array("or".utf8) else { return true }
    // `not and x`: the tag `not`, and x. `not and`: the tag `and` is missing.
    while let byte = try input.peek(ahead), byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { ahead += 1 }
    guard let byte = try input.peek(ahead) else { return true }
    return !(Characters.isLetter(byte) || byte == 0x28)
  }
}
