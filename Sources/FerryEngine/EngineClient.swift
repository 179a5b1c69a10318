import FerrySystem
import Glibc

/// Speaks an engine's HTTP API.
///
/// A request that the engine refuses throws the engine's own words, with a class by its status. One whose engine is gone throws `retry`; but
/// if the engine has answered before, it is waited for first: engines are restarted by updates, and what runs in them goes on.
public final class EngineClient: @unchecked Sendable {
  /// Where it listens.
  public let address: EngineAddress
  /// How long an engine that has answered before is waited for.
  public var patience: Duration = .seconds(30)
  private let cancellation: @Sendable () -> Cancellation?
  private let hasAnswered = Lock(false)

  /// A client; `cancellation` is asked at each request.
  public init(_ address: EngineAddress, cancellation: @escaping @Sendable () -> Cancellation? = { nil }) {
    self.address = address
    self.cancellation = cancellation
  }

  /// Asks, and answers what came. `path` is made of parts, each of which may hold anything.
  @discardableResult public func ask(
    _ method: String, _ path: [String], query: [(String, String)] = [], body: EngineBody = .none,
    answer: EngineAnswer = .whole(limit: 64 << 20), silence: Duration = .seconds(300)
  ) throws -> [UInt8] {
    let target =
      "/" + path.map(Self.escaped).joined(separator: "/")
      + (query.isEmpty ? "" : "?" + query.map { "\(Self.escaped($0))=\(Self.escaped($1))" }.joined(separator: "&"))
    let request = EngineRequest(method, target, body: body, answer: answer, cancellation: cancellation())
    let status = try perform(request, silence)
    guard (200..<300).contains(status) || status == 304 else {
      throw Self.refusal(status, request.received, "\(method) \(path.joined(separator: "/"))")
    }
    return request.received
  }

  /// Asks for JSON.
  public func json<Value: Decodable>(
    _ type: Value.Type = Value.self, _ method: String, _ path: [String], query: [(String, String)] = [], body: EngineBody = .none
  ) throws -> Value {
    let bytes = try ask(method, path, query: query, body: body, answer: .whole(limit: 512 << 20))
    do { return try JSONValue.decode(type, from: bytes) } catch {
      throw FerryError.wrap(error).inside("the answer of \(address) to \(method) \(path.joined(separator: "/"))")
    }
  }

  private func perform(_ request: EngineRequest, _ silence: Duration) throws -> Int {
    let deadline = ContinuousClock.now + (hasAnswered.withLock { $0 } ? patience : .zero)
    while true {
      do {
        let status = try request.perform(at: address, silence: silence)
        hasAnswered.withLock { $0 = true }
        return status
      } catch let error as EngineUnreachable {
        guard ContinuousClock.now < deadline else {
          throw FerryError(
            .retry, "nobody answers at \(address): \(error.words)", hint: "start the engine, or name its socket with `engine`")
        }
        var state = pollfd(fd: request.cancellation?.descriptor ?? -1, events: Int16(POLLIN), revents: 0)
        if poll(&state, 1, 200) > 0 { throw FerryError(.cancelled, "waiting for \(address) was cancelled") }
      }
    }
  }

  /// Docker says {"message": …}, Podman {"cause": …, "message": …}; a proxy before them says anything.
  private static func refusal(_ status: Int, _ body: [UInt8], _ what: String) -> FerryError {
    let said = (try? JSONValue.decode(JSONValue.self, from: body))?["message"]?.string
    let text = said ?? String(decoding: body.prefix(200), as: UTF8.self)
    let kind: ErrorClass =
      switch status {
      // Podman has one status for all that fails in a few of its calls.
      case 500 where text.contains("no such container") || text.contains("layer not known"): .notFound
      case 400: .invalid
      case 401, 403: .auth
      case 404: .notFound
      case 409: .conflict
      case 501: .unsupported
      case 503: .retry
      default: .io
      }
    let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
    return FerryError(kind, line.isEmpty ? "the engine refused \(what) with status \(status)" : "the engine refused \(what): \(line)")
  }

  private static func escaped(_ text: String) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    return String(
      decoding: text.utf8.flatMap { byte -> [UInt8] in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: [byte]
        default: [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
      }, as: UTF8.self)
  }
}
