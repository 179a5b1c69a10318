/// Durations and sizes as a manifest and the command line write them.
public enum Quantity {
  /// `30s`, `5m`, `1h30m`, `500ms`, `2d`: whole numbers with a unit, the largest unit first. Nil if it is anything else.
  public static func duration(_ text: String) -> Duration? {
    var total = Duration.zero
    var rest = Substring(text)
    var units: [(name: String, length: Duration)] = [
      ("d", .seconds(86400)), ("h", .seconds(3600)), ("m", .seconds(60)), ("s", .seconds(1)), ("ms", .milliseconds(1)),
    ]
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      let unit = rest.dropFirst(digits.count).prefix { $0.isASCII && $0.isLetter }
      guard digits.count <= 9, let count = Int(digits), let at = units.firstIndex(where: { $0.name == unit }) else { return nil }
      total += units[at].length * count
      units.removeFirst(at + 1)
      rest = rest.dropFirst(digits.count + unit.count)
    }
    return total
  }

  /// `200MB/s`, `1GiB`, `1.5GB`: bytes. `kB` counts thousands, `KiB` 1024. Nil if it is anything else or too large.
  public static func bytes(_ text: String) -> Int64? {
    let amount = text.hasSuffix("/s") ? text.dropLast(2) : text[...]
    let number = amount.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    guard let factor = factors[String(amount.dropFirst(number.count))] else { return nil }
    let parts = number.split(separator: ".", omittingEmptySubsequences: false)
    guard let first = parts.first, !first.isEmpty, parts.count <= 2, parts.last?.isEmpty == false else { return nil }
    guard let value = Double(number), value * factor < 9e18 else { return nil }
    return Int64(value * factor)
  }

  private static let factors: [String: Double] = [
    "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1024, "MiB": 1_048_576, "GiB": 1_073_741_824,
    "TiB": 1_099_511_627_776,
  ]

  /// What a duration looks like, for the JSON Schema.
  static let durationPattern = "^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$"
  /// What a size looks like, for the JSON Schema.
  static let sizePattern = "^[0-9]+(\\.[0-9]+)?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)(/s)?$"
}

/// The address of a node.
enum NodeAddress {
  /// A host or user that begins with `-` would be an option to ssh.
  static let pattern =
    "^(local|ssh://([A-Za-z0-9_][A-Za-z0-9._-]*@)?([A-Za-z0-9][A-Za-z0-9._-]*|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?)$"

  /// Whether somebody wrote `ssh://user:password@host`.
  static func holdsPassword(_ text: String) -> Bool {
    guard let at = text.lastIndex(of: "@") else { return false }
    let user = text[..<at].drop { $0 != "/" }
    return (user.isEmpty ? text[..<at] : user).contains(":")
  }
}
