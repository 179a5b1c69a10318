import FerrySystem
import Glibc

/// A Redis of the test's own, that only its socket leads to unless it is told to listen. Gone with the last reference.
public final class TestRedis: Sendable {
  private let folder: TemporaryFolder
  private let socket: String
  private let process: ChildProcess
  private let password: String?

  /// Whether there is no Redis here; says once so.
  public static let isMissing: Bool = {
    let missing = (try? Programs.find("redis-server")) == nil || (try? Programs.find("redis-cli")) == nil
    if missing { print("skipped: there is no redis-server here") }
    return missing
  }()

  /// Starts one. The password is that of the default user; `settings` are lines of its configuration.
  public init(password: String? = nil, settings: String = "") throws {
    self.password = password
    folder = try TemporaryFolder()
    socket = folder("redis")
    // A password belongs into a file.
    try folder.write(
      "redis.conf",
      "port 0\nbind 127.0.0.1\nunixsocket \(socket)\nsave \"\"\ndir \(folder.path)\n\(settings)\n"
        + (password.map { "requirepass \"\($0)\"\n" } ?? ""))
    let log = try Descriptor.open(folder("log"), O_WRONLY | O_CREAT)
    let null = try Descriptor.open("/dev/null", O_RDONLY)
    process = try ChildProcess.spawn(
      ["redis-server", folder("redis.conf")], descriptors: [0: null.number, 1: log.number, 2: log.number])
    try waitFor("Redis", seconds: 60) { try self.call(["PING"]).output == "PONG\n" }
  }

  deinit {
    _ = kill(process.pid, SIGKILL)
    process.wait()
  }

  /// As a manifest names it.
  public var server: String { "unix://\(socket)" }

  /// Has it listen on a port that nobody has; answers how a manifest names it then.
  public func listen() throws -> String {
    for _ in 0..<100 {
      let port = UInt16.random(in: 20_000...60_000)
      if try call(["CONFIG", "SET", "port", "\(port)"]).output == "OK\n" { return "tcp://127.0.0.1:\(port)" }
    }
    throw FerryError(.internal, "there is no port for Redis")
  }

  private func call(_ words: [String]) throws -> Command.Outcome {
    var command = Command(["redis-cli", "-s", socket] + words, timeout: .seconds(60))
    command.environment["REDISCLI_AUTH"] = password
    command.output = .capture(limit: 16 << 20)
    return try command.run()
  }

  /// What it answers, without the line's end.
  @discardableResult public func ask(_ words: String...) throws -> String {
    let outcome = try call(words)
    guard outcome.succeeded else { throw FerryError(.internal, "redis-cli \(words): \(outcome.reason)") }
    return outcome.output.split(separator: "\n").joined(separator: "\n")
  }

  /// All names, sorted.
  public func names() throws -> [String] { try ask("KEYS", "*").split(separator: "\n").map(String.init).sorted() }

  /// Every key that is not of a run's own: its name, what it holds and when it expires, as Redis's own scripts see them; sorted.
  public func describe() throws -> [String] {
    let script = """
      local lines = {}
      for _, name in ipairs(redis.call('KEYS', '*')) do
        if string.sub(name, 1, 7) ~= '.ferry-' then
          local kind = redis.call('TYPE', name).ok
          local ask = {string = {'GET'}, list = {'LRANGE', 0, -1}, set = {'SMEMBERS'}, hash = {'HGETALL'}, zset = {'ZRANGE', 0, -1, 'WITHSCORES'},
            stream = {'XRANGE', '-', '+'}}
          local words = ask[kind]
          local value = redis.call(words[1], name, unpack(words, 2))
          if kind == 'set' then table.sort(value) end
          table.insert(lines, cjson.encode({name, kind, value, redis.call('PEXPIRETIME', name)}))
        end
      end
      return lines
      """
    return try ask("EVAL", script, "0").split(separator: "\n").map(String.init).filter { !$0.isEmpty }.sorted()
  }

  /// One key of each type, a name of odd bytes, and one that expires.
  public func fill(_ prefix: String = "") throws {
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
