/// How much two sets differ, from 384 bytes of each (the tug of war of Alon, Matias, Szegedy: The Space Complexity of Approximating the Frequency
/// Moments, 1996). Each key pulls at each of 256 ropes, one way or the other by chance. What both sets have pulls both alike; the square of how
/// far apart the two ends of a rope are is, on average, how many keys only one set has. The mean of 256 such squares strays from it by a share of
/// √(2/256), which is 9 %, whatever the sets' sizes.
struct DifferenceSketch: Hashable {
  /// How many draws the estimate is the mean of.
  static let ropes = 256
  private static let words = ropes / 64
  /// A rope's keys are counted modulo 2¹². Two sets must differ by half a million keys before a difference does not fit, and then it still reads
  /// as far too many.
  private static let bits = 12
  /// How many bytes it has on the wire.
  static let size = words * bits * 8

  /// Bit by bit: each of the twelve planes has one bit of every rope's count.
  private var planes = [UInt64](repeating: 0, count: words * bits)

  /// Of a set.
  init(_ keys: some Sequence<UInt64>) {
    planes.withUnsafeMutableBufferPointer { planes in
      for key in keys {
        var state = key
        for word in 0..<Self.words {
          state &+= 0x9e37_79b9_7f4a_7c15
          // One to be added to the counts of those ropes that the key pulls forwards.
          var carry = RatelessTable.mix(state)
          var place = word
          while carry != 0, place < planes.count {
            let next = planes[place] & carry
            planes[place] ^= carry
            carry = next
            place += Self.words
          }
        }
      }
    }
  }

  init(_ reader: inout MessageReader) throws { for place in planes.indices { planes[place] = try reader.fixed() } }

  func append(to writer: inout MessageWriter) { for word in planes { writer.fixed(word) } }

  private func count(_ rope: Int) -> Int64 {
    (0..<Self.bits).reduce(0) { $0 | Int64(planes[$1 * Self.words + rope / 64] >> UInt64(rope % 64) & 1) << Int64($1) }
  }

  /// How many keys only one of the two sets has, roughly. `surplus`: how many more keys this set has.
  func distance(to other: DifferenceSketch, surplus: Int64) -> Int {
    let full = Int64(2) << Int64(Self.bits)
    let sum = (0..<Self.ropes).reduce(0.0) { sum, rope in
      // Forwards less backwards: twice those forwards, less all.
      var apart = (2 * (count(rope) - other.count(rope)) - surplus) & (full - 1)
      if apart >= full / 2 { apart -= full }
      return sum + Double(apart * apart)
    }
    return max(Int((sum / Double(Self.ropes)).rounded()), Int(abs(surplus)))
  }
}
