import FerrySystem
import Glibc
import Haystack

/// What the clocks of a time zone show, from the system's tzdata (RFC 8536). Haystack names a zone by its city alone.
struct ZoneClock {
  /// From when on which offset holds, in seconds; the first one before all that is known.
  private var changes: [(since: Int64, offset: Int64)] = []

  private static let folder = "/usr/share/zoneinfo"

  init(_ zone: String) throws {
    if zone.isEmpty || zone == "UTC" {
      changes = [(.min, 0)]
      return
    }
    guard !zone.hasPrefix("/"), !zone.contains(".."), let file = Self.file(zone) else {
      throw HistoryFailure("the time zone '\(zone)' is not known here")
    }
    guard read(try Files.read(file)) else { throw HistoryFailure("\(file) is no file of a time zone") }
  }

  private static func file(_ zone: String) -> String? {
    let folders = ["", "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific", "Etc"]
    let nested = ["Argentina", "Indiana", "Kentucky", "North_Dakota"].map { "America/\($0)" }
    return (folders + nested).map { "\(folder)/\($0)/\(zone)" }.first { Files.exists($0) }
  }

  /// The part with 64-bit times follows the one for old readers.
  private mutating func read(_ bytes: [UInt8]) -> Bool {
    func number(_ at: Int, _ size: Int) -> Int64? {
      guard at >= 0, at + size <= bytes.count else { return nil }
      var value: UInt64 = 0
      for byte in bytes[at..<at + size] { value = value << 8 | UInt64(byte) }
      return size == 8 ? Int64(bitPattern: value) : Int64(Int32(truncatingIfNeeded: value))
    }
    func counts(_ at: Int) -> [Int]? {
      guard at + 44 <= bytes.count, bytes[at..<at + 4].elementsEqual("TZif".utf8), bytes[at + 4] >= 0x32 else { return nil }
      let counts = (0..<6).compactMap { number(at + 20 + $0 * 4, 4).map { Int($0) } }
      return counts.count == 6 && counts.allSatisfy { (0...1 << 20).contains($0) } ? counts : nil
    }
    guard let old = counts(0) else { return false }
    let second = 44 + old[3] * 5 + old[4] * 6 + old[5] + old[2] * 8 + old[1] + old[0]
    guard let new = counts(second) else { return false }
    let (times, types) = (new[3], new[4])
    let start = second + 44
    func offset(_ type: Int) -> Int64? { type < types ? number(start + times * 9 + type * 6, 4) : nil }
    guard let first = offset(0) else { return false }
    changes = [(.min, first)]
    for index in 0..<times {
      guard let since = number(start + index * 8, 8), start + times * 8 + index < bytes.count,
        let offset = offset(Int(bytes[start + times * 8 + index]))
      else { return false }
      changes.append((since, offset))
    }
    return true
  }

  private func offset(at seconds: Int64) -> Int64 {
    var (low, high) = (0, changes.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if changes[middle].since <= seconds { low = middle } else { high = middle }
    }
    return changes[low].offset
  }

  /// The day that a moment falls on, counted from 1970-01-01.
  func day(of nanoseconds: Int64) -> Int {
    let seconds = Self.floor(nanoseconds, 1_000_000_000)
    return Int(Self.floor(seconds + offset(at: seconds), 86_400))
  }

  /// When a day begins. Where clocks skip midnight, it begins when they skip.
  func midnight(_ day: Int) -> Int64 {
    let local = Int64(day) * 86_400
    let moments = [local - offset(at: local - 86_400), local - offset(at: local + 86_400)]
    return (moments.filter { $0 + offset(at: $0) == local }.min() ?? moments[0]) * 1_000_000_000
  }

  private static func floor(_ value: Int64, _ step: Int64) -> Int64 { (value >= 0 ? value : value - step + 1) / step }
}
