import CCurl
import FerrySystem
import Glibc

/// One request, on whatever thread it is performed.
final class HTTPRequest: @unchecked Sendable {
  private let url: String
  private let headers: [String]
  private let body: [UInt8]?
  private let sink: Descriptor?
  private let cancellation: Cancellation
  private var given = 0
  private(set) var status = 0
  private(set) var heads: [String] = []
  private var outcome = Int32(CCURL_FAILED)
  private var words = ""
  private var refusal: [UInt8] = []

  init(url: String, headers: [String], body: [UInt8]?, sink: Descriptor?, cancellation: Cancellation) {
    (self.url, self.headers, self.body, self.sink, self.cancellation) = (url, headers, body, sink, cancellation)
  }

  func perform() {
    var request = ccurl_request()
    var texts = headers.map { strdup($0) }
    defer { for text in texts { free(text) } }
    texts.append(nil)
    let pointers = texts.map { UnsafePointer($0) }
    var buffer = [CChar](repeating: 0, count: 512)
    var code = 0
    outcome = (body == nil ? "GET" : "POST").withCString { method in
      url.withCString { url in
        pointers.withUnsafeBufferPointer { headers in
          request.method = method
          request.url = url
          request.headers = headers.baseAddress
          request.body_length = body.map { Int64($0.count) } ?? Int64(CCURL_NO_BODY)
          request.cancel_fd = cancellation.descriptor
          request.silence_seconds = 120
          request.context = Unmanaged.passUnretained(self).toOpaque()
          request.take = { context, status, bytes, length in
            guard let context else { return 0 }
            return Unmanaged<HTTPRequest>.fromOpaque(context).takeUnretainedValue().take(
              status, UnsafeRawBufferPointer(start: bytes, count: Int(length)))
          }
          request.give = { context, buffer, capacity in
            guard let context, let buffer else { return -1 }
            return Unmanaged<HTTPRequest>.fromOpaque(context).takeUnretainedValue().give(
              UnsafeMutableRawBufferPointer(start: buffer, count: Int(capacity)))
          }
          request.header = { context, bytes, length in
            guard let context else { return }
            let line = String(decoding: UnsafeRawBufferPointer(start: bytes, count: Int(length)), as: UTF8.self)
            Unmanaged<HTTPRequest>.fromOpaque(context).takeUnretainedValue().heads.append(line)
          }
          return ccurl_perform(&request, &code, &buffer, UInt64(buffer.count))
        }
      }
    }
    status = code
    words = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func take(_ status: Int, _ bytes: UnsafeRawBufferPointer) -> Int32 {
    guard status == 200, let sink else {
      if refusal.count < 300 { refusal += bytes.prefix(300) }
      return 1
    }
    var start = 0
    while start < bytes.count {
      let count = send(sink.number, bytes.baseAddress?.advanced(by: start), bytes.count - start, Int32(MSG_NOSIGNAL))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return 0 }
      start += count
    }
    return 1
  }

  private func give(_ buffer: UnsafeMutableRawBufferPointer) -> Int64 {
    guard let body else { return 0 }
    let count = min(buffer.count, body.count - given)
    buffer.copyBytes(from: body[given..<given + count])
    given += count
    return Int64(count)
  }

  func throwIfFailed(_ place: String, anyStatus: Bool = false) throws {
    switch outcome {
    case Int32(CCURL_DONE): break
    case Int32(CCURL_CANCELLED): throw FerryError(.cancelled, "the request to \(place) was cancelled")
    // The reader has given up, and says why.
    case Int32(CCURL_ENDED): return
    case Int32(CCURL_UNREACHABLE): throw FerryError(.retry, "cannot reach \(place): \(words)")
    case Int32(CCURL_SILENT): throw FerryError(.retry, "\(place) has said nothing for two minutes")
    default: throw FerryError(.peer, "\(place) did not answer to the end: \(words)")
    }
    guard !anyStatus, status != 200 else { return }
    let text = String(decoding: refusal, as: UTF8.self).split(separator: "\n").first.map(String.init) ?? ""
    throw FerryError(status == 401 || status == 403 ? .auth : .peer, "\(place) answered \(status): \(text)")
  }
}
