/// JSON-RPC 2.0 over newline-delimited messages, both ways: each side may call the other. Requests are answered on threads of their own, so
/// a long call blocks nobody.
public final class RPCConnection: Sendable {
  /// Answers one request; descriptors that came with it belong to the handler.
  public typealias Handler = @Sendable (_ method: String, _ params: JSONValue, _ descriptors: [Descriptor]) throws -> JSONValue
  /// Takes one notification, in the order of arrival.
  public typealias Listener = @Sendable (_ method: String, _ params: JSONValue) -> Void

  /// `code` of the error of a call whose connection went before the answer came.
  public static let lost = "connection-lost"

  private struct Message: Codable {
    var jsonrpc = "2.0"
    var id: Int64?
    var method: String?
    var params: JSONValue?
    var result: JSONValue?
    var error: Failure?
  }
  private struct Failure: Codable {
    var code: Int
    var message: String
    var data: FerryError?
  }
  private final class Pending: Sendable {
    let answer = Lock<Result<JSONValue, FerryError>?>(nil)
    let arrived = Signal()
  }
  private struct State {
    var next: Int64 = 1
    var pending: [Int64: Pending] = [:]
    var lost: FerryError?
  }

  private let line: LineConnection
  private let name: String
  private let handler: Handler
  private let listener: Listener
  private let state = Lock(State())

  /// A connection to `name` (for messages). Call `serve` on a thread, or `start`, to begin.
  public init(
    _ line: LineConnection, to name: String, listener: @escaping Listener = { _, _ in },
    handler: @escaping Handler = { method, _, _ in throw FerryError(.unsupported, "there is no method '\(method)'") }
  ) {
    self.line = line
    self.name = name
    self.handler = handler
    self.listener = listener
  }

  /// Serves on a thread of its own.
  public func start() { Threads.detach { self.serve() } }

  /// Reads until the other side is gone; then every call that still waits fails. Returns what broke the connection, nil if the other side
  /// closed it.
  @discardableResult public func serve() -> FerryError? {
    var reason = FerryError(.peer, "the connection to \(name) is gone", code: Self.lost)
    var broken: FerryError?
    do {
      while let (bytes, descriptors) = try line.receive() { try take(bytes, descriptors) }
    } catch {
      reason = FerryError.wrap(error).inside(name)
      broken = reason
    }
    line.shutdown()
    let waiting = state.withLock { state in
      state.lost = reason
      defer { state.pending = [:] }
      return state.pending.values
    }
    for pending in waiting {
      pending.answer.withLock { $0 = .failure(reason) }
      pending.arrived.raise()
    }
    return broken
  }

  /// Calls the other side and waits for its answer, at most `timeout` where one is given.
  public func call(_ method: String, _ params: JSONValue = [:], descriptors: [Int32] = [], timeout: Duration? = nil) throws -> JSONValue {
    let pending = Pending()
    let id = try state.withLock { state in
      if let lost = state.lost { throw lost }
      defer { state.next += 1 }
      state.pending[state.next] = pending
      return state.next
    }
    do {
      try line.send(JSONValue.encode(Message(id: id, method: method, params: params)), descriptors: descriptors)
    } catch {
      state.withLock { _ = $0.pending.removeValue(forKey: id) }
      throw FerryError(.peer, "the connection to \(name) is gone", code: Self.lost)
    }
    if let timeout {
      guard pending.arrived.wait(atMost: timeout) else {
        state.withLock { _ = $0.pending.removeValue(forKey: id) }
        throw FerryError(.peer, "\(name) did not answer '\(method)' in time")
      }
    } else {
      pending.arrived.wait()
    }
    return try pending.answer.withLock { try $0.map { try $0.get() } ?? .null }
  }

  /// Tells the other side something; an end that is gone is not told.
  public func notify(_ method: String, _ params: JSONValue) {
    guard let bytes = try? JSONValue.encode(Message(method: method, params: params)) else { return }
    try? line.send(bytes)
  }

  /// Whether the other side is gone.
  public var isLost: Bool { state.withLock { $0.lost != nil } }

  /// Ends the connection for both sides.
  public func close() { line.close() }

  private func take(_ bytes: [UInt8], _ descriptors: [Descriptor]) throws {
    let message: Message
    do { message = try JSONValue.decode(Message.self, from: bytes) } catch {
      throw FerryError(.peer, "\(name) sent what is no message: \(String(decoding: bytes.prefix(80), as: UTF8.self).debugDescription)")
    }
    switch (message.method, message.id) {
    case (let method?, let id?): Threads.detach { self.answer(id, method, message.params ?? [:], descriptors) }
    case (let method?, nil): listener(method, message.params ?? [:])
    case (nil, let id?):
      guard let pending = state.withLock({ $0.pending.removeValue(forKey: id) }) else { return }
      let failure = message.error.map { $0.data ?? FerryError(.peer, "\(name): \($0.message)") }
      pending.answer.withLock { $0 = failure.map { .failure($0) } ?? .success(message.result ?? .null) }
      pending.arrived.raise()
    case (nil, nil): throw FerryError(.peer, "\(name) sent a message with neither method nor id")
    }
  }

  private func answer(_ id: Int64, _ method: String, _ params: JSONValue, _ descriptors: [Descriptor]) {
    var reply = Message(id: id)
    do { reply.result = try handler(method, params, descriptors) } catch {
      let failure = FerryError.wrap(error)
      reply.error = Failure(code: -32000 - Int(failure.class.status), message: failure.message, data: failure)
    }
    guard let bytes = try? JSONValue.encode(reply) else { return }
    try? line.send(bytes)
  }
}
