import FerrySystem

// In JSON a duration is a number of seconds. These overloads are what the members of this module's types are written and read with.

extension KeyedEncodingContainer {
  mutating func encode(_ duration: Duration, forKey key: Key) throws { try encode(duration.inSeconds, forKey: key) }

  mutating func encodeIfPresent(_ duration: Duration?, forKey key: Key) throws { try encodeIfPresent(duration?.inSeconds, forKey: key) }
}

extension KeyedDecodingContainer {
  func decode(_ type: Duration.Type, forKey key: Key) throws -> Duration { try decode(WrittenDuration.self, forKey: key).duration }

  func decodeIfPresent(_ type: Duration.Type, forKey key: Key) throws -> Duration? {
    try decodeIfPresent(WrittenDuration.self, forKey: key)?.duration
  }
}

/// Seconds, to the nanosecond; or Swift's own form, two halves of 128 bits, which is what older journals and receipts hold.
private struct WrittenDuration: Decodable {
  let duration: Duration

  init(from decoder: any Decoder) throws {
    guard let seconds = try? decoder.singleValueContainer().decode(Double.self) else {
      duration = try Duration(from: decoder)
      return
    }
    let whole = seconds.rounded(.down)
    guard let count = Int64(exactly: whole) else {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "\(seconds) seconds are no duration"))
    }
    duration = .seconds(count) + .nanoseconds(Int64(((seconds - whole) * 1e9).rounded()))
  }
}
