import FerryPluginKit

/// "v7.5.1", as `tidb_version()`, `version()`, br and TiCDC write it among other things.
struct TidbVersion: Codable, Hashable, Comparable, CustomStringConvertible, Sendable {
  var major: Int
  var minor: Int
  var patch: Int

  init(_ major: Int, _ minor: Int, _ patch: Int) { (self.major, self.minor, self.patch) = (major, minor, patch) }

  /// The first three numbers with dots between them that follow a mark, or stand in the text.
  init?(in text: String, after mark: String = "") {
    let rest = mark.isEmpty ? text[...] : text.ranges(of: mark).first.map { text[$0.upperBound...] } ?? ""
    for word in rest.split(whereSeparator: { !$0.isNumber && $0 != "." }) {
      let numbers = word.split(separator: ".").compactMap { Int($0) }
      if numbers.count >= 3 {
        self.init(numbers[0], numbers[1], numbers[2])
        return
      }
    }
    return nil
  }

  static func < (left: Self, right: Self) -> Bool { (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch) }

  var description: String { "v\(major).\(minor).\(patch)" }
}

/// A length of time as Go writes it and TiDB keeps it: "10m0s", "720h".
struct GoDuration: Hashable, Comparable {
  var seconds: Double

  init?(_ text: String) {
    var total = 0.0
    var number = ""
    for character in text {
      switch character {
      case "0"..."9", ".": number.append(character)
      case "h", "m", "s":
        guard let value = Double(number) else { return nil }
        total += value * (character == "h" ? 3600 : character == "m" ? 60 : 1)
        number = ""
      default: return nil
      }
    }
    guard number.isEmpty, !text.isEmpty else { return nil }
    seconds = total
  }

  static func < (left: Self, right: Self) -> Bool { left.seconds < right.seconds }
}
