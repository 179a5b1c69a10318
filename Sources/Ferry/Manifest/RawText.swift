/// What is checked before YAML is looked at: that the file is text at all.
enum RawText {
  /// False, with a finding, where the bytes are no text of a manifest's size.
  static func check(_ bytes: [UInt8], findings: Findings) -> Bool {
    guard bytes.count <= YAMLReader.maxBytes else {
      findings.add(.yaml, .start, "the file has \(bytes.count) bytes; a manifest has at most \(YAMLReader.maxBytes)")
      return false
    }
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
      findings.add(.yaml, .start, "the file begins with a byte order mark", hint: "save it as UTF-8 without one")
      return false
    }
    if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
      findings.add(.yaml, .start, "the file is UTF-16", hint: "save it as UTF-8")
      return false
    }
    guard let (offset, problem) = firstProblem(bytes) else { return true }
    var line = 1
    var column = 1
    for byte in bytes[..<offset] {
      if byte == 0x0A {
        line += 1
        column = 1
      } else if byte & 0xC0 != 0x80 {
        column += 1
      }
    }
    findings.add(.yaml, Mark(line: line, column: column, endLine: line, endColumn: column + 1), problem)
    return false
  }

  private static func firstProblem(_ bytes: [UInt8]) -> (Int, String)? {
    var decoder = UTF8()
    var input = bytes.makeIterator()
    var offset = 0
    while true {
      switch decoder.decode(&input) {
      case .emptyInput: return nil
      case .error: return (offset, "the file is not UTF-8 from here on")
      case .scalarValue("\0"): return (offset, "a NUL character: this is no text file")
      case .scalarValue(let scalar):
        let isControl = scalar.value < 0x20 && !"\t\n\r".unicodeScalars.contains(scalar)
        if isControl || scalar.value == 0x7F || (0x80..<0xA0).contains(scalar.value) && scalar.value != 0x85 {
          return (offset, "a control character (U+\(hex(scalar.value))) is not allowed")
        }
        offset += UTF8.width(scalar)
      }
    }
  }

  private static func hex(_ value: UInt32) -> String {
    let digits = String(value, radix: 16, uppercase: true)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
  }
}
