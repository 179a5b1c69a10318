import FerryPluginKit

/// The keys of the final pass, in the item's memory.
struct KeyList {
  let kv: KeyValueStore

  private struct Head: Codable {
    var parts: Int
    var horizon: Int64
  }
  /// Keys in one value of the memory, which holds a mebibyte.
  private static let part = 500_000

  func put(_ keys: [RedisKey], horizon: Int64) throws {
    var parts: [[RedisKey]] = [[]]
    var size = 0
    for key in keys {
      size += key.hex.utf8.count + 64
      if size > Self.part {
        parts.append([])
        size = key.hex.utf8.count + 64
      }
      parts[parts.count - 1].append(key)
    }
    for (index, part) in parts.enumerated() { try kv.put("keys-\(index)", part) }
    // Last: it says that all of them are there.
    try kv.put("keys", Head(parts: parts.count, horizon: horizon))
  }

  func keys() throws -> [RedisKey] {
    try (0..<head().parts).flatMap { index in
      guard let part: [RedisKey] = try kv.get("keys-\(index)") else { throw FerryError(.internal, "a part of the keys is missing") }
      return part
    }
  }

  /// The moment before which what expires is no part of the proof; there is none before the final pass.
  func horizon() throws -> Int64 { try isThere() ? head().horizon : 0 }

  /// Whether there was a final pass.
  func isThere() throws -> Bool { try kv.get("keys", as: Head.self) != nil }

  private func head() throws -> Head {
    guard let head: Head = try kv.get("keys") else {
      throw FerryError(.precondition, "this run knows of no keys here", hint: "run it anew")
    }
    return head
  }

  /// A name as people read it: what is no plain letter in hex.
  static func shown(_ name: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(
      decoding: name.flatMap { byte in
        (0x21...0x7e).contains(byte) && byte != 0x5c ? [byte] : [0x5c, 0x78, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }, as: UTF8.self)
  }
}

extension RedisKey {
  /// Whether it expires, and before that moment.
  func expires(before moment: Int64) -> Bool { expiry >= 0 && expiry < moment }
}
