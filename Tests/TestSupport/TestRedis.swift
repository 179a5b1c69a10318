import FerrySystem
import Glibc
import TestSupport

/// A Redis of the test's own, that only its socket leads to. Gone with the last reference.
final class TestRedis: Sendable {
  let folder: TemporaryFolder
  let socket: String
  private let process: ChildProcess
  private let password: String?

  static let isMissing: Bool = {
    let missing = (try? Programs.find("redis-server")) == nil || (try? Programs.find("redis-cli")) == nil
    if missing { print("skipped: there is no redis-server here") }
    return missing
  }()

  init(password: String? = nil) throws {
    self.password = password
    folder = try TemporaryFolder()
    socket = folder("redis")
    // A password belongs into a file.
    try folder.write(
      "redis.conf", "port 0\nunixsocket \(socket)\nsave \"\"\ndir \(folder.path)\n" + (password.map { "requirepass \"\($0)\"\n" } ?? ""))
    let log = try Descriptor.open(folder("log"), O_WRONLY | O_CREAT)
    let null = try Descriptor.open("/dev/null", O_RDONLY)
    process = try ChildProcess.spawn(
      ["redis-server", folder("redis.conf")], descriptors: [0: null.number, 1: log.number, 2: log.number])
    try waitFor("Redis", seconds: 60) { try self.call("PING").output == "PONG\n" }
  }

  deinit {
    _ = kill(process.pid, SIGKILL)
    process.wait()
  }

  var server: String { "unix://\(socket)" }

  func call(_ words: String...) throws -> Command.Outcome {
    var command = Command(["redis-cli", "-s", socket] + words, timeout: .seconds(60))
    command.environment["REDISCLI_AUTH"] = password
    return try command.run()
  }

  /// What it answers, without the line's end.
  @discardableResult func ask(_ words: String...) throws -> String {
    var command = Command(["redis-cli", "-s", socket] + words, timeout: .seconds(60))
    command.environment["REDISCLI_AUTH"] = password
    let outcome = try command.run()
    guard outcome.succeeded else { throw FerryError(.internal, "redis-cli \(words): \(outcome.reason)") }
    return outcome.output.split(separator: "\n").joined(separator: "\n")
  }

  /// All names, sorted.
  func names() throws -> [String] { try ask("KEYS", "*").split(separator: "\n").map(String.init).sorted() }

  /// One key of each type, a name of odd bytes, and two that expire.
  func fill(_ prefix: String = "") throws {
    let script = """
      local p = ARGV[1]
      redis.call('SET', p .. 'text', 'hello')
      redis.call('SET', p .. 'odd\\n\\255*', '\\0\\1\\255')
      redis.call('SET', p .. 'later', 'expires', 'PX', 86400123)
      redis.call('RPUSH', p .. 'list', 'b', 'a', 'b')
      for i = 1, 600 do redis.call('SADD', p .. 'set', 'member ' .. i) end
      redis.call('HSET', p .. 'hash', 'k', 'v', 'k2', '')
      redis.call('ZADD', p .. 'zset', 1.5, 'one', '-inf', 'two')
      redis.call('XADD', p .. 'stream', '1-1', 'f', 'v')
      """
    try ask("EVAL", script, "0", prefix)
  }
}
