/// Chance that can be had again: the same seed throws the same numbers.
public struct Dice: RandomNumberGenerator, Sendable {
  private var state: UInt64
  /// Dice of a seed.
  public init(_ seed: UInt64) { state = seed &* 0x2545_f491_4f6c_dd1d &+ 1 }

  /// The next throw.
  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }
}
