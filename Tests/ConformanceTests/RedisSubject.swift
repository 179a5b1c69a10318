import Ferry
import FerryConformance
import FerrySystem
import PluginHarness
import TestSupport

/// Keys of a Redis, which no folder holds: all of the source's are moved, and one of the destination's own has the name of one of them.
final class RedisSubject: ConformanceSubject {
  private let from: TestRedis
  private let to: TestRedis
  private let harness: Harness

  init() throws {
    from = try TestRedis()
    to = try TestRedis()
    try from.fill()
    harness = try Harness(
      product: "redis-keys", provider: "redis-keys", folder: TemporaryFolder(), from: ["server": .string(from.server)],
      to: ["server": .string(to.server)], keys: ["keys": ["*"], "replace": true, "allow-empty": true])
  }

  var ends: ItemEnds { harness }
  var knowsSHA256: Bool { true }

  func change(_ number: Int) throws {
    try from.ask("SET", "new \(number)", "new")
    try from.ask("SET", "text", "changed \(number)")
    try from.ask("SREM", "set", "member \(number)")
  }

  /// What a key holds stays, but not for ever.
  func touch() throws { try from.ask("PEXPIRE", "hash", "86400000") }

  func empty() throws { try from.ask("FLUSHALL") }

  func occupy() throws {
    try to.ask("SET", "precious", "precious")
    try to.ask("RPUSH", "text", "precious", "too")
  }

  func look(_ side: Side) throws -> [String] { try (side == .source ? from : to).describe() }

  /// Keys of other names stay.
  func together(_ from: [String], _ to: [String]) -> [String] {
    func name(_ line: String) -> Substring { line.prefix { $0 != "," } }
    let taken = Set(from.map(name))
    return (from + to.filter { !taken.contains(name($0)) }).sorted()
  }

  func residue() throws -> [String] { try to.names().filter { $0.hasPrefix(".ferry-") } }
}
