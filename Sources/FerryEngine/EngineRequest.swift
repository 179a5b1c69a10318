import CCurl
import FerrySystem
import Glibc

/// What goes to an engine with a request.
public enum EngineBody: Sendable {
  case none
  case json(JSONValue)
  /// A tar stream, read from a descriptor to its end.
  case tar(Int32)
}

/// What is done with an engine's answer.
public enum EngineAnswer: Sendable {
  /// Kept in memory, up to a limit.
  case whole(limit: Int)
  /// Written to a descriptor as it comes. An answer that reports an error is kept instead.
  case stream(Int32)
}

/// One request on its way.
final class EngineRequest {
  let method: String
  let target: String
  let body: EngineBody
  let answer: EngineAnswer
  let cancellation: Cancellation?
  private(set) var received: [UInt8] = []
  private var failure: FerryError?
  private var unsent: ArraySlice<UInt8> = []

  init(_ method: String, _ target: String, body: EngineBody, answer: EngineAnswer, cancellation: Cancellation?) {
    self.method = method
    self.target = target
    self.body = body
    self.answer = answer
    self.cancellation = cancellation
  }

  /// The answer's status. Throws what kept it from being heard to its end.
  func perform(at address: EngineAddress, silence: Duration) throws -> Int {
    received = []
    failure = nil
    var headers: [String] = []
    var length = Int64(CCURL_NO_BODY)
    switch body {
    case .none: if method == "POST" { length = 0 }
    case .json(let value):
      unsent = try JSONValue.encode(value)[...]
      length = Int64(unsent.count)
      headers.append("Content-Type: application/json")
    case .tar:
      length = Int64(CCURL_BODY_OF_ANY_LENGTH)
      headers.append("Content-Type: application/x-tar")
    }
    var status = 0
    var words = [CChar](repeating: 0, count: 256)
    let outcome = withExtendedLifetime(self) {
      withTexts([method, address.url(target), address.socket ?? ""] + headers) { texts in
        let lines = Array(texts[3...]) + [nil]
        return lines.withUnsafeBufferPointer { lines in
          var request = ccurl_request()
          request.method = texts[0]
          request.url = texts[1]
          request.unix_socket = address.socket == nil ? nil : texts[2]
          request.headers = lines.baseAddress
          request.body_length = length
          request.cancel_fd = cancellation?.descriptor ?? -1
          request.silence_seconds = max(1, silence.components.seconds)
          request.context = Unmanaged.passUnretained(self).toOpaque()
          request.take = { context, status, bytes, length in
            guard let context, let bytes else { return 0 }
            let request = Unmanaged<EngineRequest>.fromOpaque(context).takeUnretainedValue()
            return request.take(status, UnsafeRawBufferPointer(start: bytes, count: Int(length))) ? 1 : 0
          }
          request.give = { context, buffer, capacity in
            guard let context, let buffer else { return -1 }
            let request = Unmanaged<EngineRequest>.fromOpaque(context).takeUnretainedValue()
            return request.give(UnsafeMutableRawBufferPointer(start: buffer, count: Int(capacity)))
          }
          return Int(ccurl_perform(&request, &status, &words, UInt64(words.count)))
        }
      }
    }
    let said = String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    switch outcome {
    case CCURL_DONE: return status
    case CCURL_CANCELLED: throw FerryError(.cancelled, "a request to \(address) was cancelled")
    case CCURL_ENDED: throw failure ?? FerryError(.internal, "a request to \(address) was ended")
    case CCURL_UNREACHABLE: throw EngineUnreachable(words: said)
    case CCURL_SILENT: throw FerryError(.retry, "\(address) was silent for \(silence.components.seconds) s", hint: "is the engine stuck?")
    // An engine that refuses an upload answers and hangs up: its words say more than the broken connection.
    case CCURL_CUT where status >= 400: return status
    case CCURL_CUT: throw FerryError(.retry, "\(address) ended the connection in the middle: \(said)", hint: "was the engine restarted?")
    default: throw FerryError(.io, "\(method) \(target) at \(address) failed: \(said)")
    }
  }

  private func take(_ status: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
    do {
      if case .stream(let descriptor) = answer, status < 300 {
        try Waiting.write(bytes, to: descriptor, cancellation)
        return true
      }
      var limit = 1 << 20
      if case .whole(let most) = answer { limit = most }
      guard received.count + bytes.count <= limit else {
        throw FerryError(.unsupported, "the engine's answer to \(method) \(target) has more than \(limit) bytes")
      }
      received.append(contentsOf: bytes)
      return true
    } catch {
      failure = FerryError.wrap(error)
      return false
    }
  }

  private func give(_ buffer: UnsafeMutableRawBufferPointer) -> Int64 {
    do {
      if case .tar(let descriptor) = body { return Int64(try Waiting.read(into: buffer, from: descriptor, cancellation)) }
      let part = unsent.prefix(buffer.count)
      buffer.copyBytes(from: part)
      unsent = unsent.dropFirst(part.count)
      return Int64(part.count)
    } catch {
      failure = FerryError.wrap(error)
      return -1
    }
  }

  private func withTexts<Result>(_ texts: [String], _ body: ([UnsafePointer<CChar>?]) -> Result) -> Result {
    let copies = texts.map { strdup($0) }
    defer { copies.forEach { free($0) } }
    return body(copies.map { UnsafePointer($0) })
  }
}

/// Nobody listens there: nothing was asked, so it may be asked again.
struct EngineUnreachable: Error {
  let words: String
}

/// Blocking reads and writes that a cancellation ends.
enum Waiting {
  static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, _ cancellation: Cancellation?) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      try wait(descriptor, POLLOUT, cancellation)
      // A pipe that has room has it for so much; a write of more would wait for the rest, and nothing would end it.
      let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, min(rest.count, Int(PIPE_BUF)))
      if written < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard written > 0 else { throw FerryError(errno: errno, "cannot pass on what the engine sends") }
      rest = rest.dropFirst(written)
    }
  }

  static func read(into buffer: UnsafeMutableRawBufferPointer, from descriptor: Int32, _ cancellation: Cancellation?) throws -> Int {
    while true {
      try wait(descriptor, POLLIN, cancellation)
      let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
      if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard count >= 0 else { throw FerryError(errno: errno, "cannot read what is for the engine") }
      return count
    }
  }

  private static func wait(_ descriptor: Int32, _ events: Int32, _ cancellation: Cancellation?) throws {
    var states = [
      pollfd(fd: descriptor, events: Int16(events), revents: 0),
      pollfd(fd: cancellation?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
    ]
    while poll(&states, 2, -1) < 0 { guard errno == EINTR else { throw FerryError(errno: errno, "cannot wait for the engine") } }
    if states[1].revents != 0 { throw FerryError(.cancelled, "the transfer from or to the engine was cancelled") }
  }
}
