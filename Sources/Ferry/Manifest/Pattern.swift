import Glibc

/// A regular expression of JSON Schema, run by the C library: it cannot be made to take for ever, as a backtracking one can.
///
/// The common part of both syntaxes, and `\d`, `\w`, `\s` and `(?:`. Look-around, lazy repeats and back references are refused.
struct Pattern: Sendable, Hashable {
  /// As it was written.
  let text: String
  private let posix: String

  /// Checks a pattern; an error says what is wrong with it.
  init(_ text: String) throws {
    self.text = text
    posix = try Pattern.translate(text)
    var compiled = regex_t()
    let code = regcomp(&compiled, posix, REG_EXTENDED | REG_NOSUB)
    guard code == 0 else {
      var words = [CChar](repeating: 0, count: 128)
      regerror(code, &compiled, &words, words.count)
      let reason = words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw FerryError(.invalid, "no regular expression: \(String(decoding: reason, as: UTF8.self))")
    }
    regfree(&compiled)
  }

  /// Whether the expression is found in the value.
  func matches(_ value: String) -> Bool {
    var compiled = regex_t()
    guard regcomp(&compiled, posix, REG_EXTENDED | REG_NOSUB) == 0 else { return false }
    defer { regfree(&compiled) }
    return regexec(&compiled, value, 0, nil, 0) == 0
  }

  /// The same expression for `regcomp`. Counted repeats are bounded, since `regcomp` unrolls them.
  private static func translate(_ text: String) throws -> String {
    var out = ""
    var sizes = [0]
    var last = 0
    var rest = Substring(text)
    var inBrackets = false
    func refuse(_ what: String) -> FerryError { FerryError(.invalid, "the regular expression has \(what), which is not supported") }
    func atom() {
      last = 1
      sizes[sizes.count - 1] += 1
    }
    while let character = rest.popFirst() {
      switch (character, inBrackets) {
      case ("\\", _):
        guard let escaped = rest.popFirst() else { throw refuse("a lone backslash at its end") }
        if !inBrackets { atom() }
        out += try escape(escaped, inBrackets: inBrackets)
      case ("[", false):
        inBrackets = true
        out += "["
        if rest.first == "^" { out += String(rest.removeFirst()) }
        if rest.first == "]" { throw refuse("an empty bracket") }
      case ("]", true):
        inBrackets = false
        atom()
        out += "]"
      case ("[", true): throw refuse("a '[' inside brackets")
      case (_, true): out.append(character)
      case ("(", false):
        if rest.hasPrefix("?:") { rest.removeFirst(2) } else if rest.first == "?" { throw refuse("a '(?' group") }
        sizes.append(0)
        out += "("
      case (")", false):
        guard sizes.count > 1 else { throw refuse("a ')' too many") }
        last = max(1, sizes.removeLast())
        sizes[sizes.count - 1] += last
        out += ")"
      case ("{", false):
        let counts = rest.prefix { $0 != "}" }
        rest = rest.dropFirst(counts.count + 1)
        let numbers = counts.split(separator: ",").compactMap { Int($0) }
        guard !numbers.isEmpty, let most = numbers.max(), most <= 1000 else { throw refuse("the repeat '{\(counts)}'") }
        last *= max(1, most)
        sizes[sizes.count - 1] += last
        out += "{\(counts)}"
      case ("*", false), ("+", false), ("?", false):
        if rest.first == "?" || rest.first == "+" { throw refuse("a lazy or possessive repeat") }
        out.append(character)
      default:
        atom()
        out.append(character)
      }
      if sizes.reduce(0, +) > 2000 || out.utf8.count > 2000 || sizes.count > 50 { throw refuse("too many or too large parts") }
    }
    return out
  }

  private static func escape(_ character: Character, inBrackets: Bool) throws -> String {
    let classes: [Character: String] = ["d": "0-9", "w": "A-Za-z0-9_", "s": " \t\r\n"]
    if let members = classes[character] { return inBrackets ? members : "[\(members)]" }
    guard character.isASCII, !character.isLetter, !character.isNumber else {
      throw FerryError(.invalid, "the regular expression has '\\\(character)', which is not supported")
    }
    guard inBrackets else { return "\\\(character)" }
    // In POSIX brackets a backslash stands for itself and these have no escape.
    if character == "-" || character == "]" || character == "^" {
      throw FerryError(.invalid, "the regular expression has '\\\(character)' inside brackets, which is not supported")
    }
    return character == "\\" ? "\\" : String(character)
  }
}
