import CHiredis
import FerryPluginKit
import Glibc

/// What a server answers.
enum RedisReply: Equatable {
  case none
  case integer(Int64)
  case bytes([UInt8])
  case list([RedisReply])

  var bytes: [UInt8]? { if case .bytes(let bytes) = self { bytes } else { nil } }
  var integer: Int64? { if case .integer(let number) = self { number } else { nil } }
  var list: [RedisReply] { if case .list(let list) = self { list } else { [] } }
}

/// A connection to one server, through hiredis. One call at a time.
final class RedisConnection {
  private let context: UnsafeMutablePointer<redisContext>
  private let place: String

  /// Connects and logs in.
  init(_ endpoint: RedisKeysConfig.Endpoint, password: [UInt8]?) throws {
    place = endpoint.server
    let patience = timeval(tv_sec: 60, tv_usec: 0)
    let made: UnsafeMutablePointer<redisContext>?
    if endpoint.server.hasPrefix("unix://") {
      made = redisConnectUnixWithTimeout(String(endpoint.server.dropFirst(7)), patience)
    } else {
      let (host, port) = try Self.address(String(endpoint.server.dropFirst(6)))
      made = redisConnectWithTimeout(host, port, patience)
    }
    guard let made else { throw FerryError(.io, "there is no memory for a connection to \(endpoint.server)") }
    context = made
    guard made.pointee.err == 0 else { throw lost("cannot connect", hint: "does Redis run there, and may this user reach it?") }
    redisSetTimeout(made, patience)
    if let password { try call(["AUTH"].map { Array($0.utf8) } + (endpoint.user.map { [Array($0.utf8)] } ?? []) + [password]) }
    if let database = endpoint.database, database > 0 { try call("SELECT", "\(database)") }
  }

  deinit { redisFree(context) }

  /// `host:port`, with an address of IPv6 in brackets; the port is 6379 unless told.
  static func address(_ text: String) throws -> (host: String, port: Int32) {
    let end = text.hasPrefix("[") ? text.firstIndex(of: "]") : nil
    let host = end.map { String(text[..<$0].dropFirst()) } ?? String(text.prefix { $0 != ":" })
    let rest = end.map { text[text.index(after: $0)...] } ?? text.dropFirst(host.count)
    guard let port = rest.isEmpty ? 6379 : Int32(rest.dropFirst()), (1...65535).contains(port), !host.isEmpty else {
      throw FerryError(.invalid, "tcp://\(text) is no address", hint: "write tcp://host:port")
    }
    return (host, port)
  }

  /// One command; an error that the server answers is thrown.
  @discardableResult func call(_ words: String...) throws -> RedisReply { try call(words.map { Array($0.utf8) }) }

  /// The same with words of any bytes.
  @discardableResult func call(_ words: [[UInt8]]) throws -> RedisReply {
    let flat = words.flatMap { $0.map { CChar(bitPattern: $0) } }
    let lengths = words.map(\.count)
    let raw = flat.withUnsafeBufferPointer { buffer -> UnsafeMutableRawPointer? in
      guard let base = buffer.baseAddress else { return nil }
      var offset = 0
      var starts: [UnsafePointer<CChar>?] = lengths.map { length in
        defer { offset += length }
        return base + offset
      }
      return redisCommandArgv(context, Int32(words.count), &starts, lengths)
    }
    guard let raw else { throw lost("the connection was lost") }
    defer { freeReplyObject(raw) }
    let reply = raw.assumingMemoryBound(to: redisReply.self)
    if reply.pointee.type == REDIS_REPLY_ERROR {
      let text = String(decoding: Self.text(reply), as: UTF8.self)
      let isRight = ["NOAUTH", "WRONGPASS", "NOPERM"].contains(where: text.hasPrefix)
      // The first word names the command; what comes behind AUTH is a secret.
      let command = String(decoding: words.first ?? [], as: UTF8.self)
      throw FerryError(isRight ? .auth : .precondition, "Redis at \(place) refuses \(command): \(text.prefix(200))")
    }
    return Self.value(reply)
  }

  private func lost(_ what: String, hint: String = "") -> FerryError {
    let reason = withUnsafeBytes(of: context.pointee.errstr) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return FerryError(.io, "\(what) to Redis at \(place): \(reason)", hint: hint)
  }

  private static func text(_ reply: UnsafePointer<redisReply>) -> [UInt8] {
    guard let start = reply.pointee.str else { return [] }
    return Array(UnsafeRawBufferPointer(start: start, count: reply.pointee.len))
  }

  private static func value(_ reply: UnsafePointer<redisReply>) -> RedisReply {
    switch reply.pointee.type {
    case REDIS_REPLY_INTEGER: return .integer(reply.pointee.integer)
    case REDIS_REPLY_STRING, REDIS_REPLY_STATUS: return .bytes(text(reply))
    case REDIS_REPLY_ARRAY:
      return .list((0..<reply.pointee.elements).map { reply.pointee.element[$0].map { value($0) } ?? .none })
    default: return .none
    }
  }
}
