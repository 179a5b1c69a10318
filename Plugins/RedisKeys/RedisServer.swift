import FerryPluginKit
import FerryTree

/// What the provider does with one server.
struct RedisServer {
  let redis: RedisConnection

  /// A field of `INFO`.
  func info(_ section: String, _ field: String) throws -> String {
    let text = String(decoding: try redis.call("INFO", section).bytes ?? [], as: UTF8.self)
    let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("\(field):") }
    return line.map { String($0.dropFirst(field.utf8.count + 1)) } ?? ""
  }

  /// Its version; throws where a run would not work.
  func version() throws -> String {
    let version = try info("server", "redis_version")
    guard let major = version.split(separator: ".").first.flatMap({ Int($0) }), major >= 7 else {
      throw FerryError(.unsupported, "Redis \(version) is too old", hint: "7.0 or newer is needed: it tells when a key expires")
    }
    guard try info("cluster", "cluster_enabled") != "1" else {
      throw FerryError(.unsupported, "Redis runs as a cluster, where keys cannot be renamed", hint: "a single server is needed")
    }
    return version
  }

  /// Names of keys, sorted by their bytes. What Ferry itself keeps there is none of them.
  func names(_ wanted: [String]) throws -> [[UInt8]] {
    var found: Set<[UInt8]> = []
    for text in wanted {
      if text.contains(where: { "*?[\\".contains($0) }) {
        found.formUnion(try scan(Array(text.utf8)))
      } else if try redis.call("EXISTS", text).integer == 1 {
        found.insert(Array(text.utf8))
      }
    }
    return found.filter { !$0.starts(with: RedisStage.mark) }.sorted { $0.lexicographicallyPrecedes($1) }
  }

  /// All keys that a pattern fits.
  func scan(_ pattern: [UInt8]) throws -> Set<[UInt8]> {
    var found: Set<[UInt8]> = []
    var cursor = Array("0".utf8)
    repeat {
      let words = ["SCAN", "", "MATCH", "", "COUNT", "1000"].map { Array($0.utf8) }
      let reply = try redis.call([words[0], cursor, words[2], pattern, words[4], words[5]]).list
      guard reply.count == 2, let next = reply[0].bytes else { throw FerryError(.unsupported, "Redis answers SCAN in a form of its own") }
      found.formUnion(reply[1].list.compactMap(\.bytes))
      cursor = next
    } while cursor != Array("0".utf8)
    return found
  }

  /// When a key expires, in milliseconds since 1970; -1: never; -2: there is no such key.
  func expiry(_ name: [UInt8]) throws -> Int64 { try redis.call([Array("PEXPIRETIME".utf8), name]).integer ?? -2 }

  /// The server's own time, in milliseconds.
  func now() throws -> Int64 {
    let parts = try redis.call("TIME").list.compactMap { $0.bytes.flatMap { Int64(String(decoding: $0, as: UTF8.self)) } }
    guard parts.count == 2 else { throw FerryError(.unsupported, "Redis does not tell its time") }
    return parts[0] * 1000 + parts[1] / 1000
  }

  func remove(_ names: some Collection<[UInt8]>) throws {
    for name in names { try redis.call([Array("UNLINK".utf8), name]) }
  }

  /// What a key holds, in a form that every server gives alike, however it stores it; nil if there is no such key.
  func content(_ name: [UInt8]) throws -> [UInt8]? {
    func ask(_ words: String...) throws -> [[UInt8]] {
      let reply = try redis.call([Array(words[0].utf8), name] + words.dropFirst().map { Array($0.utf8) })
      return reply.bytes.map { [$0] } ?? reply.list.flatMap(Self.flat)
    }
    let type = String(decoding: try ask("TYPE").first ?? [], as: UTF8.self)
    var parts: [[UInt8]]
    switch type {
    case "none": return nil
    case "string": parts = try ask("GET")
    case "list": parts = try ask("LRANGE", "0", "-1")
    case "zset": parts = try ask("ZRANGE", "0", "-1", "WITHSCORES")
    case "set": parts = try ask("SMEMBERS").sorted { $0.lexicographicallyPrecedes($1) }
    case "hash":
      let fields = try ask("HGETALL")
      parts = stride(from: 0, to: fields.count - 1, by: 2).map { Self.counted([fields[$0], fields[$0 + 1]]) }
        .sorted { $0.lexicographicallyPrecedes($1) }
    case "stream": parts = try ask("XRANGE", "-", "+")
    default: throw FerryError(.unsupported, "a key is of the type '\(type)', which cannot be compared", hint: "leave it out of `keys`")
    }
    return Self.counted([Array(type.utf8)] + parts)
  }

  private static func flat(_ reply: RedisReply) -> [[UInt8]] {
    switch reply {
    case .none: []
    case .bytes(let bytes): [bytes]
    case .integer(let number): [Array("\(number)".utf8)]
    case .list(let list): [Array("\(list.count)".utf8)] + list.flatMap(flat)
    }
  }

  /// Each part behind its length: no two lists look alike.
  private static func counted(_ parts: [[UInt8]]) -> [UInt8] { parts.flatMap { Array("\($0.count):".utf8) + $0 } }
}

/// A key that was moved.
struct RedisKey: Codable, Hashable {
  /// Its name at the source, in hex: names are any bytes.
  var hex: String
  /// When it expires, as `RedisServer.expiry`.
  var expiry: Int64

  init(_ name: [UInt8], expiry: Int64) {
    let digits = Array("0123456789abcdef".utf8)
    hex = String(decoding: name.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    self.expiry = expiry
  }

  var name: [UInt8] {
    let digits = Array(hex.utf8)
    func value(_ digit: UInt8) -> UInt8 { digit >= 97 ? digit - 87 : digit - 48 }
    return stride(from: 0, to: digits.count - 1, by: 2).map { value(digits[$0]) << 4 | value(digits[$0 + 1]) }
  }
}
