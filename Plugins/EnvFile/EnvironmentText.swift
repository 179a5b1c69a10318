/// A file of `NAME=value` lines, kept to the byte: what is not an assignment is carried along, and a value is whatever stands there.
struct EnvironmentText: Equatable {
  /// How lines join.
  enum Dialect: String, Decodable {
    /// As systemd reads `EnvironmentFile=`: a quoted value may hold line ends, a backslash at the end of a line joins the next.
    case systemd
    /// As podman reads `--env-file`: each line stands alone.
    case podman
  }

  /// One assignment, or what stands between two: comments, blank lines, what nobody understands.
  struct Entry: Equatable {
    var name: String?
    /// With the line's end, if it has one.
    var bytes: [UInt8]

    /// What stands behind the equals sign.
    var value: ArraySlice<UInt8> {
      let value = bytes[(bytes.firstIndex(of: 0x3d).map { $0 + 1 } ?? bytes.startIndex)...]
      return value.last == 10 ? value.dropLast() : value
    }
  }

  private(set) var entries: [Entry]

  init(_ bytes: [UInt8], dialect: Dialect) {
    entries = []
    var rest = bytes[...]
    while !rest.isEmpty {
      var line = Self.line(&rest)
      let name = Self.name(line)
      if name != nil, dialect == .systemd { while Self.goesOn(line), !rest.isEmpty { line += Self.line(&rest) } }
      entries.append(Entry(name: name, bytes: line))
    }
  }

  var bytes: [UInt8] { entries.flatMap(\.bytes) }

  /// In the order in which they first stand.
  var names: [String] {
    var seen: Set<String> = []
    return entries.compactMap(\.name).filter { seen.insert($0).inserted }
  }

  /// The one that counts: the last.
  func entry(_ name: String) -> Entry? { entries.last { $0.name == name } }

  /// What the destination's file becomes. What counts of the source's is all but `excluded`.
  func merged(from source: EnvironmentText, replacing: Bool, excluded: Set<String>) -> EnvironmentText {
    let travels = Set(source.names).subtracting(excluded)
    var result = self
    if replacing {
      result.entries = source.entries.compactMap { entry in
        guard let name = entry.name, excluded.contains(name) else { return entry }
        return self.entry(name)
      }
      for name in names where excluded.contains(name) && result.entry(name) == nil { if let own = entry(name) { result.append(own) } }
      return result
    }
    for name in source.names where travels.contains(name) {
      guard let entry = source.entry(name) else { continue }
      if let index = result.entries.lastIndex(where: { $0.name == name }) {
        result.entries[index] = entry
      } else {
        result.append(entry)
      }
    }
    return result
  }

  private mutating func append(_ entry: Entry) {
    if let last = entries.indices.last, entries[last].bytes.last != 10 { entries[last].bytes.append(10) }
    entries.append(entry)
  }

  private static func line(_ rest: inout ArraySlice<UInt8>) -> [UInt8] {
    let end = rest.firstIndex(of: 10).map { $0 + 1 } ?? rest.endIndex
    defer { rest = rest[end...] }
    return Array(rest[..<end])
  }

  /// `NAME=`, with blanks before it.
  private static func name(_ line: [UInt8]) -> String? {
    guard let equals = line.firstIndex(of: 0x3d) else { return nil }
    let text = line[..<equals].drop { $0 == 0x20 || $0 == 0x09 }
    guard let first = text.first, isLetter(first), text.allSatisfy({ isLetter($0) || (0x30...0x39).contains($0) }) else { return nil }
    return String(decoding: text, as: UTF8.self)
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x5f
  }

  /// Whether the assignment is not over at the end of what there is of it: a quote is open, or a backslash is its last byte.
  private static func goesOn(_ text: [UInt8]) -> Bool {
    guard let equals = text.firstIndex(of: 0x3d) else { return false }
    var quote: UInt8?
    var isEscaped = false
    for byte in text[(equals + 1)...] {
      if isEscaped {
        isEscaped = false
        continue
      }
      switch (byte, quote) {
      // Between single quotes systemd takes a backslash as an escape, too.
      case (0x5c, _): isEscaped = true
      case (0x22, nil), (0x27, nil): quote = byte
      case (_, byte?): quote = nil
      default: break
      }
    }
    // A backslash has taken the line's end for its own.
    let endsInBackslash = text.count > 1 && text.last == 10 && text[text.count - 2] == 0x5c && !isPaired(text.dropLast())
    return quote != nil || endsInBackslash
  }

  private static func isPaired(_ text: ArraySlice<UInt8>) -> Bool { text.reversed().prefix { $0 == 0x5c }.count % 2 == 0 }
}
