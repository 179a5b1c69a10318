import FerrySystem

/// Reads one step: `name = function(argument, "text ${name}", &out)`, `name += value`, or a value alone.
struct NativeStepParser {
  /// What is wrong, and where.
  struct Problem: Error {
    var mark: Mark
    var message: String
    var hint = "a step is written: name = function(argument, …)"
  }

  private let text: [Unicode.Scalar]
  private let mark: Mark
  /// How far inside its mark the text begins: behind the quotes.
  private let indent: Int
  private var at = 0

  init(_ node: Node) {
    text = Array((node.text ?? "").unicodeScalars)
    mark = node.mark
    if case .scalar(_, plain: false) = node.content { indent = 1 } else { indent = 0 }
  }

  /// A whole step.
  static func step(_ node: Node) throws -> NativeStep {
    var parser = NativeStepParser(node)
    let name = try parser.assigned()
    if let name, name.adds { return .assign(name.name, adds: true, try parser.ended(parser.expression())) }
    if let call = try parser.call() { return try parser.ended(.call(call, into: name?.name)) }
    guard let name else { throw parser.problem(parser.at, "a call was expected here") }
    return .assign(name.name, adds: false, try parser.ended(parser.expression()))
  }

  /// `name = call`, as what a loop repeats.
  static func call(_ node: Node) throws -> (call: NativeStep.Call, into: NativeStep.Name?) {
    guard case .call(let call, let into) = try step(node) else {
      throw Problem(mark: node.mark, message: "a call was expected here")
    }
    return (call, into)
  }

  /// A value alone.
  static func expression(_ node: Node) throws -> NativeStep.Expression {
    var parser = NativeStepParser(node)
    return try parser.ended(parser.expression())
  }

  // MARK: Parts

  private mutating func assigned() throws -> (name: NativeStep.Name, adds: Bool)? {
    let start = at
    guard let name = path() else { return nil }
    skipSpace()
    if take("+=") { return (name, true) }
    if take("=") { return (name, false) }
    at = start
    return nil
  }

  private mutating func call() throws -> NativeStep.Call? {
    let start = at
    guard let name = path(), take("(") else {
      at = start
      return nil
    }
    var arguments: [NativeStep.Argument] = []
    skipSpace()
    if take(")") { return NativeStep.Call(function: name, arguments: []) }
    while true {
      skipSpace()
      if take("&") {
        guard let out = path() else { throw problem(at, "a name was expected after '&'") }
        arguments.append(.out(out))
      } else {
        arguments.append(.value(try expression()))
      }
      skipSpace()
      if take(")") { return NativeStep.Call(function: name, arguments: arguments) }
      guard take(",") else { throw problem(at, "',' or ')' was expected here") }
    }
  }

  private mutating func expression() throws -> NativeStep.Expression {
    skipSpace()
    let start = at
    if let next, next == "\"" { return try string() }
    if let next, next == "-" || next.isDigit { return try number() }
    guard let name = path() else { throw problem(at, at < text.count ? "this is no value" : "a value was expected here") }
    if name.text == "null" { return NativeStep.Expression(kind: .null, mark: name.mark) }
    if take("[") {
      let count = try expression()
      skipSpace()
      guard take("]") else { throw problem(at, "']' was expected here") }
      return NativeStep.Expression(kind: .slice(name, count), mark: place(start, at))
    }
    if next == "(" {
      throw problem(start, at, "a call cannot stand inside another", hint: "give its result a name in a step of its own")
    }
    return NativeStep.Expression(kind: .name(name.text.split(separator: ".").map(String.init)), mark: name.mark)
  }

  private mutating func number() throws -> NativeStep.Expression {
    let start = at
    var word = ""
    while let scalar = next, scalar.isWord || scalar == "." || (scalar == "-" && (at == start || word.hasSuffix("e"))) {
      word.unicodeScalars.append(scalar)
      at += 1
    }
    let (sign, digits) = word.hasPrefix("-") ? (Int64(-1), word.dropFirst()) : (1, word[...])
    let whole: Int64? =
      if digits.hasPrefix("0x") { Int64(digits.dropFirst(2), radix: 16) } else if digits.hasPrefix("0o") {
        Int64(digits.dropFirst(2), radix: 8)
      } else { Int64(decimal: String(digits)) }
    if let whole { return NativeStep.Expression(kind: .number(sign * whole), mark: place(start, at)) }
    if let real = Double(decimal: word) { return NativeStep.Expression(kind: .real(real), mark: place(start, at)) }
    throw problem(start, at, "'\(word)' is no number", hint: "write 12, -1, 0x1F, 0o644 or 0.5")
  }

  private mutating func string() throws -> NativeStep.Expression {
    let start = at
    at += 1
    var parts: [NativeStep.Expression.Part] = []
    var plain = ""
    while let scalar = next {
      if take("\"") {
        if !plain.isEmpty { parts.append(.plain(plain)) }
        return NativeStep.Expression(kind: .text(parts), mark: place(start, at))
      }
      if take("${") {
        if !plain.isEmpty { parts.append(.plain(plain)) }
        plain = ""
        let inside = try expression()
        guard take("}") else { throw problem(at, "'}' was expected here") }
        parts.append(.value(inside))
      } else if take("\\") {
        guard let escaped = next, let meant = ["n": "\n", "t": "\t", "\"": "\"", "\\": "\\", "$": "$"][escaped] else {
          throw problem(at, at + 1, "this cannot follow a backslash", hint: #"there are \n, \t, \", \\ and \$"#)
        }
        plain += meant
        at += 1
      } else {
        plain.unicodeScalars.append(scalar)
        at += 1
      }
    }
    throw problem(start, "the text that begins here does not end")
  }

  /// Names with dots between them.
  private mutating func path() -> NativeStep.Name? {
    skipSpace()
    let start = at
    guard let first = next, first.isLetter else { return nil }
    while let scalar = next, scalar.isWord || ((scalar == "-" || scalar == ".") && at + 1 < text.count && text[at + 1].isWord) { at += 1 }
    return NativeStep.Name(text: String(String.UnicodeScalarView(text[start..<at])), mark: place(start, at))
  }

  // MARK: Characters

  private var next: Unicode.Scalar? { at < text.count ? text[at] : nil }

  private mutating func skipSpace() { while next == " " || next == "\n" { at += 1 } }

  private mutating func take(_ word: String) -> Bool {
    let scalars = Array(word.unicodeScalars)
    guard at + scalars.count <= text.count, Array(text[at..<at + scalars.count]) == scalars else { return false }
    at += scalars.count
    return true
  }

  private mutating func ended<Value>(_ value: Value) throws -> Value {
    skipSpace()
    guard at == text.count else { throw problem(at, text.count, "nothing more was expected here") }
    return value
  }

  private func place(_ start: Int, _ end: Int) -> Mark {
    // A text over several lines is marked whole.
    guard mark.line == mark.endLine || indent == 0 && !text.contains("\n") else { return mark }
    return Mark(
      line: mark.line, column: mark.column + indent + start, endLine: mark.line, endColumn: mark.column + indent + max(end, start + 1))
  }

  private func problem(_ start: Int, _ message: String) -> Problem { Problem(mark: place(start, start + 1), message: message) }
  private func problem(_ start: Int, _ end: Int, _ message: String, hint: String = "") -> Problem {
    Problem(mark: place(start, end), message: message, hint: hint)
  }
}

extension Unicode.Scalar {
  fileprivate var isDigit: Bool { ("0"..."9").contains(self) }
  fileprivate var isLetter: Bool { ("a"..."z").contains(self) || ("A"..."Z").contains(self) || self == "_" }
  fileprivate var isWord: Bool { isDigit || isLetter }
}
