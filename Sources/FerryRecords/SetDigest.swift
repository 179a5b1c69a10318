import CCrypto
import FerrySystem
import Haystack

/// What a set of records is, by ids and times of change: how many there are, and the sum of a SHA-1 of each. A sum does not care for order and
/// can be kept up to date record by record; unlike an exclusive or, two of the same do not cancel each other.
public struct SetDigest: Sendable, Hashable {
  /// How many.
  public private(set) var count: Int64 = 0
  /// The sum, modulo 2²⁵⁶, the lowest word first.
  private(set) var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  /// Of the empty set.
  public init() {}

  /// Equal in count and sum.
  public static func == (left: SetDigest, right: SetDigest) -> Bool { left.count == right.count && left.words == right.words }
  /// Its lowest bits are hash enough.
  public func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

  mutating func add(_ hash: RecordHash) {
    count += 1
    combine(hash) { $0.addingReportingOverflow($1) }
  }

  mutating func remove(_ hash: RecordHash) {
    count -= 1
    combine(hash) { $0.subtractingReportingOverflow($1) }
  }

  private mutating func combine(_ hash: RecordHash, _ operation: (UInt64, UInt64) -> (partialValue: UInt64, overflow: Bool)) {
    var carry: UInt64 = 0
    func step(_ word: inout UInt64, _ other: UInt64) {
      let first = operation(word, other)
      let second = operation(first.partialValue, carry)
      word = second.partialValue
      carry = first.overflow || second.overflow ? 1 : 0
    }
    step(&words.0, hash.words.0)
    step(&words.1, hash.words.1)
    step(&words.2, hash.words.2)
    step(&words.3, 0)
  }

  /// 32 bytes.
  var bytes: [UInt8] {
    withUnsafeBytes(of: (words.0.littleEndian, words.1.littleEndian, words.2.littleEndian, words.3.littleEndian)) { Array($0) }
  }

  init?(count: Int64, bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 32 else { return nil }
    self.count = count
    func word(_ index: Int) -> UInt64 { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)) }
    words = (word(0), word(1), word(2), word(3))
  }

  /// In hexadecimal, as it is shown.
  public var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.reversed().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}

/// The SHA-1 of one record's relative id and time of change.
struct RecordHash: Hashable {
  /// The lowest first. A server keeps one of each member, so there is no room to lose.
  private var parts: (UInt32, UInt32, UInt32, UInt32, UInt32)

  /// What stands for no record.
  static let none = RecordHash(bytes: (0, 0, 0, 0, 0))

  /// The 20 bytes of a SHA-1.
  init(bytes: (UInt32, UInt32, UInt32, UInt32, UInt32)) {
    parts = (bytes.0.littleEndian, bytes.1.littleEndian, bytes.2.littleEndian, bytes.3.littleEndian, bytes.4.littleEndian)
  }

  /// The lowest word first; the third has 32 bits.
  var words: (UInt64, UInt64, UInt64) {
    (UInt64(parts.1) << 32 | UInt64(parts.0), UInt64(parts.3) << 32 | UInt64(parts.2), UInt64(parts.4))
  }

  static func == (left: RecordHash, right: RecordHash) -> Bool { left.parts == right.parts }
  func hash(into hasher: inout Hasher) { hasher.combine(words.0) }

  /// What stands for the record while differences are looked for. Never 0.
  var key: UInt64 { words.0 == 0 ? 1 : words.0 }
}

/// Hashes ids and times; for one thread.
final class RecordHasher {
  private let context = EVP_MD_CTX_new()

  init(_ algorithm: OpaquePointer? = EVP_sha1()) { EVP_DigestInit_ex(context, algorithm, nil) }
  deinit { EVP_MD_CTX_free(context) }

  /// SHA-1 over `relId SP mod LF`, the moment in UTC to the nanosecond.
  func hash(_ id: UnsafeRawBufferPointer, mod: Int64) -> RecordHash {
    if mod != moment.nanoseconds { moment.write(mod) }
    var bytes: (UInt32, UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0, 0)
    withUnsafeMutableBytes(of: &bytes) { bytes in
      moment.text.withUnsafeBytes { _ = digest(id, $0, into: bytes) }
    }
    return RecordHash(bytes: bytes)
  }
  private var moment = MomentText()

  func digest(_ bytes: [UInt8], into result: UnsafeMutableRawBufferPointer) -> Int {
    bytes.withUnsafeBytes { digest($0, UnsafeRawBufferPointer(start: nil, count: 0), into: result) }
  }

  private func digest(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, into result: UnsafeMutableRawBufferPointer) -> Int
  {
    var length: UInt32 = 0
    // Without an algorithm the context keeps its own; with one it is looked up each time, which costs more than the hash.
    EVP_DigestInit_ex(context, nil, nil)
    EVP_DigestUpdate(context, first.baseAddress, first.count)
    EVP_DigestUpdate(context, second.baseAddress, second.count)
    EVP_DigestFinal_ex(context, result.baseAddress?.assumingMemoryBound(to: UInt8.self), &length)
    return Int(length)
  }
}

/// ` 2026-11-22T02:30:00.000000000Z`, and the end of a line. What stays the same from one moment to the next is not written again.
private struct MomentText {
  private(set) var nanoseconds = Int64.min
  private(set) var text: [UInt8] = []
  private var day = Int64.min
  /// Where the clock's first digit stands.
  private var start = 0

  mutating func write(_ moment: Int64) {
    nanoseconds = moment
    let length: Int64 = 86_400_000_000_000
    var (days, rest) = moment.quotientAndRemainder(dividingBy: length)
    if rest < 0 {
      rest += length
      days -= 1
    }
    if days != day {
      day = days
      text = [0x20] + Self.date(days)
      start = text.count
      text += Self.clock
    }
    let start = start
    text.withUnsafeMutableBufferPointer { text in
      func write(_ number: Int, at place: Int, _ count: Int) {
        var rest = number
        for index in stride(from: start + place + count - 1, through: start + place, by: -1) {
          text[index] = UInt8(truncatingIfNeeded: 0x30 + rest % 10)
          rest /= 10
        }
      }
      let seconds = Int(rest / 1_000_000_000)
      write(seconds / 3600, at: 0, 2)
      write(seconds / 60 % 60, at: 3, 2)
      write(seconds % 60, at: 6, 2)
      write(Int(rest % 1_000_000_000), at: 9, 9)
    }
  }
  private static let clock = Array("00:00:00.000000000Z\n".utf8)

  private static func date(_ days: Int64) -> [UInt8] {
    guard let date = HDate(daysSinceEpoch: Int(days)) else { return Array(String(days).utf8) }
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let year = String(date.year)
    return Array("\(String(repeating: "0", count: max(0, 4 - year.count)))\(year)-\(two(date.month))-\(two(date.day))T".utf8)
  }
}
