import FerryPluginKit

/// Where keys are received: beside the real ones, under names of the run's own. What a real name held before waits there as well.
struct RedisStage {
  /// What all names of Ferry's own begin with.
  static let mark = Array(".ferry-".utf8)

  let server: RedisServer
  /// What this item's begin with.
  let prefix: [UInt8]

  init(_ server: RedisServer, _ context: ProviderContext) {
    self.server = server
    prefix = Self.mark + Array("\(context.run)-\(context.item):".utf8)
  }

  /// Where a key is received.
  func received(_ name: [UInt8]) -> [UInt8] { prefix + Array("new:".utf8) + name }
  private func before(_ name: [UInt8]) -> [UInt8] { prefix + Array("old:".utf8) + name }
  /// A hash of the keys that are in service: the name at the source, and the real one.
  private var active: [UInt8] { prefix + Array("active".utf8) }

  /// What was received.
  func names() throws -> Set<[UInt8]> {
    let start = received([])
    return Set(try server.scan(RedisStage.escaped(start) + [0x2a]).map { Array($0.dropFirst(start.count)) })
  }

  /// Gives a key its real name; what has that name is set aside. All of it or nothing, and no more than once.
  func activate(_ name: [UInt8], as real: [UInt8]) throws {
    try run(
      """
      if redis.call('HEXISTS', KEYS[4], ARGV[1]) == 1 or redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
      if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[3]) end
      redis.call('RENAME', KEYS[1], KEYS[2])
      return redis.call('HSET', KEYS[4], ARGV[1], KEYS[2])
      """, name, real)
  }

  /// What each name held before is back, and what was received where it was received. Only what is in service is touched.
  func deactivate() throws {
    let pairs = try server.redis.call([Array("HGETALL".utf8), active]).list.compactMap(\.bytes)
    for index in stride(from: 0, to: pairs.count - 1, by: 2) {
      try run(
        """
        if redis.call('HEXISTS', KEYS[4], ARGV[1]) == 0 then return 0 end
        if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[1]) end
        if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('RENAME', KEYS[3], KEYS[2]) end
        return redis.call('HDEL', KEYS[4], ARGV[1])
        """, pairs[index], pairs[index + 1])
    }
  }

  /// Removes all that is the run's own. What is in service is not.
  func clear() throws { try server.remove(try server.scan(RedisStage.escaped(prefix) + [0x2a])) }

  private func run(_ script: String, _ name: [UInt8], _ real: [UInt8]) throws {
    try server.redis.call([Array("EVAL".utf8), Array(script.utf8), Array("4".utf8), received(name), real, before(name), active, name])
  }

  /// A text that a pattern of SCAN fits and no other.
  private static func escaped(_ text: [UInt8]) -> [UInt8] { text.flatMap { "*?[]\\^-".utf8.contains($0) ? [0x5c, $0] : [$0] } }
}
