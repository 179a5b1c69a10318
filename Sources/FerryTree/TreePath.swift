import Glibc

/// Paths are bytes: a name need not be text.
public enum TreePath {
  /// A path as one line of text that can be turned back: newline, tab, backslash and all that is not UTF-8 become `\xNN`.
  public static func escaped(_ path: [UInt8]) -> String {
    var text = ""
    var rest = path[...]
    while !rest.isEmpty {
      let plain = rest.prefix { $0 >= 0x20 && $0 < 0x7f && $0 != 0x5c }
      text += String(decoding: plain, as: UTF8.self)
      rest = rest.dropFirst(plain.count)
      guard let first = rest.first else { break }
      if first >= 0xc2, let character = scalar(rest) {
        text.unicodeScalars.append(character)
        rest = rest.dropFirst(UTF8.width(character))
      } else {
        text += "\\x" + hex(first)
        rest = rest.dropFirst()
      }
    }
    return text
  }

  /// The order of bytes, as `memcmp` and `LC_ALL=C sort` have it.
  public static func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    let common = min(left.count, right.count)
    let order = left.withUnsafeBytes { left in
      right.withUnsafeBytes { right in
        guard common > 0, let left = left.baseAddress, let right = right.baseAddress else { return Int32(0) }
        return memcmp(left, right, common)
      }
    }
    return order == 0 ? left.count < right.count : order < 0
  }

  /// A folder's path and a name in it.
  public static func joined(_ folder: [UInt8], _ name: [UInt8]) -> [UInt8] {
    if folder.isEmpty { return name }
    if name.isEmpty { return folder }
    return folder + [0x2f] + name
  }

  /// The path of the folder that an entry is in; empty for the root.
  public static func parent(of path: [UInt8]) -> [UInt8] { path.lastIndex(of: 0x2f).map { Array(path[..<$0]) } ?? [] }

  private static func scalar(_ bytes: ArraySlice<UInt8>) -> Unicode.Scalar? {
    guard let text = String(validating: bytes.prefix(4).prefix(width(bytes.first ?? 0)), as: UTF8.self) else { return nil }
    guard let scalar = text.unicodeScalars.first, text.unicodeScalars.count == 1 else { return nil }
    // Control characters beyond ASCII would disturb a terminal.
    return scalar.value < 0xa0 ? nil : scalar
  }

  private static func width(_ first: UInt8) -> Int { first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4 }

  private static func hex(_ byte: UInt8) -> String {
    let text = String(byte, radix: 16)
    return text.count == 1 ? "0" + text : text
  }
}

/// Calls with a name that ends in NUL, as system calls want it.
func withCString<Result>(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
  try withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes.count + 1) { buffer in
    for index in bytes.indices { buffer[index] = CChar(bitPattern: bytes[index]) }
    buffer[bytes.count] = 0
    // A buffer of at least one element has an address.
    return try body(UnsafePointer(buffer.baseAddress.unsafelyUnwrapped))
  }
}
