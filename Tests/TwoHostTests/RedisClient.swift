@testable import Ferry
import FerrySystem
import Glibc
import TestSupport

/// A client that appends one number after another to a list in Redis, and turns to the other host whenever one does not answer. What was accepted
/// is what Redis has said yes to; a number is never sent twice.
final class RedisClient: Sendable {
  struct Attempt: Sendable {
    var number: Int
    var began: Double
    var ended: Double
    var accepted: Bool
  }
  static let list = "orders"
  private let addresses: [String]
  private let attempts = Lock<[Attempt]>([])
  private let over = Lock(false)
  private let ended = Signal()

  /// Begins to write. What is refused before the first is accepted is no attempt: the server is about to start.
  init(_ addresses: [String]) {
    self.addresses = addresses
    Threads.detach { [self] in
      var turn = 0
      var line: Descriptor?
      for number in 1... {
        if over.withLock({ $0 }) { break }
        let began = wallClock()
        let accepted = append(number, to: addresses[turn % addresses.count], &line)
        attempts.withLock {
          if accepted || !$0.isEmpty { $0.append(Attempt(number: number, began: began, ended: wallClock(), accepted: accepted)) }
        }
        if !accepted { (turn, line) = (turn + 1, nil) }
        // As fast as a client that has something else to do.
        usleep(2000)
      }
      ended.raise()
    }
  }

  private func append(_ number: Int, to address: String, _ line: inout Descriptor?) -> Bool {
    do {
      if line == nil {
        let socket = try TCPSocket.connect(host: address, port: 6379, within: .seconds(5))
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(socket.number, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        line = socket
      }
      guard let line else { return false }
      try line.write(Array("RPUSH \(Self.list) \(number)\r\n".utf8))
      var answer = ""
      while !answer.hasSuffix("\r\n") {
        let more = try line.read(upTo: 256)
        guard !more.isEmpty else { return false }
        answer += String(decoding: more, as: UTF8.self)
      }
      return answer.hasPrefix(":")
    } catch { return false }
  }

  var accepted: [Int] { attempts.withLock { $0.filter(\.accepted).map(\.number) } }

  /// Ends it; answers all attempts in their order.
  func end() -> [Attempt] {
    over.withLock { $0 = true }
    ended.wait()
    return attempts.withLock { $0 }
  }
}

/// The redis-server of this machine, with what it is linked with and a static busybox, as an archive that engines import: a Redis as Debian packs
/// it, without the rest of Debian.
enum RedisImage {
  static func archive(_ folder: TemporaryFolder) throws -> String {
    try Files.makeFolder(folder("redis/bin"), mode: 0o755)
    try folder.write(
      "make-redis",
      """
      set -e
      mkdir data tmp
      chmod 1777 tmp
      for program in redis-server redis-cli; do
        path=$(command -v $program)
        cp --dereference "$path" bin/
        ldd "$path" | grep -o '/[^ ]*' | while read -r library; do cp --dereference --parents "$library" .; done
      done
      cp "$(command -v busybox)" bin/busybox
      ln -s busybox bin/sh
      tar -cf ../redis.tar .
      """)
    var command = Command(["/bin/sh", folder("make-redis")], timeout: .seconds(60))
    command.directory = folder("redis")
    let outcome = try command.run()
    guard outcome.succeeded else { throw FerryError(.internal, "the image of redis: \(outcome.reason)") }
    return folder("redis.tar")
  }
}
