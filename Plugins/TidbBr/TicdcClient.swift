import CCurl
import FerryPluginKit
import Glibc

/// TiCDC's HTTP API, version 2. Its answers are trusted only where they say something: an error is never a lag of zero.
struct TicdcClient {
  let base: String
  let tls: TLSFiles?
  let secrets: Secrets
  var cancellation: Cancellation?

  /// A changefeed as TiCDC describes it.
  struct Feed: Equatable {
    var state: String
    var checkpoint: UInt64
    var error: String?
  }

  func version() throws -> TidbVersion? {
    let answer = try request("GET", "status")
    return answer["version"]?.string.flatMap { TidbVersion(in: $0) }
  }

  /// nil: there is none of that name.
  func feed(_ name: String) throws -> Feed? {
    let answer: JSONValue
    do { answer = try request("GET", "changefeeds/\(name)") } catch let error as FerryError where error.code == "CDC:ErrChangeFeedNotExists"
    {
      return nil
    }
    guard let state = answer["state"]?.string, let checkpoint = answer["checkpoint_ts"]?.moment, checkpoint > 0 else {
      throw FerryError(
        .retry, "TiCDC's answer about '\(name)' has no state or no checkpoint: \(secrets.scrub(String(answer.text.prefix(200))))")
    }
    let failure = answer["error"]?["code"]?.string.map { "\($0) \(answer["error"]?["message"]?.string ?? "")" }
    return Feed(state: state, checkpoint: checkpoint, error: failure.map { secrets.scrub($0) })
  }

  func create(_ name: String, sink: String, from start: UInt64, rules: [String]) throws {
    try request(
      "POST", "changefeeds",
      [
        "changefeed_id": .string(name), "sink_uri": .string(sink), "start_ts": .unsigned(start),
        "replica_config": [
          "check_gc_safe_point": true, "ignore_ineligible_table": false, "force_replicate": false,
          "filter": ["rules": .array(rules.map(JSONValue.string))],
        ],
      ])
  }

  func pause(_ name: String) throws { try request("POST", "changefeeds/\(name)/pause") }
  func resume(_ name: String) throws { try request("POST", "changefeeds/\(name)/resume", [:]) }

  /// No error if there is none.
  func remove(_ name: String) throws {
    do { try request("DELETE", "changefeeds/\(name)") } catch let error as FerryError where error.code == "CDC:ErrChangeFeedNotExists" {}
  }

  private static let classes: [String: (ErrorClass, String)] = [
    "CDC:ErrStartTsBeforeGC": (.precondition, "the source's history since the backup is gone: run again, with a longer gc-hold"),
    "CDC:ErrTableIneligible": (
      .precondition, "give these tables a unique index over columns that are NOT NULL, or leave them out with `tables`"
    ),
    "CDC:ErrSameUpstreamDownstream": (.precondition, "source and destination are one cluster"),
    "CDC:ErrChangeFeedAlreadyExists": (.conflict, ""),
  ]

  /// Gathers an answer; C calls back with its address.
  private final class Exchange {
    var received: [UInt8] = []
    var unsent: ArraySlice<UInt8> = []
  }

  @discardableResult private func request(_ method: String, _ path: String, _ body: JSONValue? = nil) throws -> JSONValue {
    let exchange = Exchange()
    if let body { exchange.unsent = try JSONValue.encode(body)[...] }
    let length = body == nil ? (method == "POST" ? 0 : Int64(CCURL_NO_BODY)) : Int64(exchange.unsent.count)
    var status = 0
    var words = [CChar](repeating: 0, count: 256)
    let texts = [
      method, "\(base.hasSuffix("/") ? String(base.dropLast()) : base)/api/v2/\(path)", "Content-Type: application/json", tls?.ca,
      tls?.cert, tls?.key,
    ]
    .map { $0.flatMap { strdup($0) } }
    defer { for text in texts { free(text) } }
    var headers: [UnsafePointer<CChar>?] = [texts[2].map { UnsafePointer($0) }, nil]
    let outcome = withExtendedLifetime(exchange) {
      headers.withUnsafeMutableBufferPointer { headers in
        var request = ccurl_request()
        request.method = texts[0].map { UnsafePointer($0) }
        request.url = texts[1].map { UnsafePointer($0) }
        request.headers = UnsafePointer(headers.baseAddress)
        request.body_length = length
        request.cancel_fd = cancellation?.descriptor ?? -1
        request.silence_seconds = 60
        request.authority = texts[3].map { UnsafePointer($0) }
        request.certificate = texts[4].map { UnsafePointer($0) }
        request.private_key = texts[5].map { UnsafePointer($0) }
        request.context = Unmanaged.passUnretained(exchange).toOpaque()
        request.take = { context, _, bytes, length in
          guard let context, let bytes else { return 0 }
          let exchange = Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
          exchange.received += UnsafeRawBufferPointer(start: bytes, count: Int(length))
          return exchange.received.count < 16 << 20 ? 1 : 0
        }
        request.give = { context, buffer, capacity in
          guard let context, let buffer else { return -1 }
          let exchange = Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
          let part = exchange.unsent.prefix(Int(capacity))
          UnsafeMutableRawBufferPointer(start: buffer, count: Int(capacity)).copyBytes(from: part)
          exchange.unsent = exchange.unsent.dropFirst(part.count)
          return Int64(part.count)
        }
        return Int(ccurl_perform(&request, &status, &words, UInt64(words.count)))
      }
    }
    let said = String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard outcome == CCURL_DONE else {
      if outcome == CCURL_CANCELLED { throw FerryError(.cancelled, "a request to TiCDC was cancelled") }
      throw FerryError(.retry, "TiCDC at \(base) did not answer: \(secrets.scrub(said))", hint: "is `cdc` right, and does it run?")
    }
    let answer = exchange.received.isEmpty ? JSONValue.object([:]) : (try? JSONValue.decode(JSONValue.self, from: exchange.received))
    guard (200..<300).contains(status), let answer else {
      let code = answer?["error_code"]?.string ?? "HTTP \(status)"
      let known = Self.classes[code]
      throw FerryError(
        known?.0 ?? .retry, "TiCDC refused '\(method) \(path)' with \(code): \(secrets.scrub(answer?["error_msg"]?.string ?? "no reason"))",
        hint: known?.1 ?? "", code: code)
    }
    return answer
  }
}

extension JSONValue {
  /// A TSO.
  fileprivate var moment: UInt64? {
    switch self {
    case .int(let value): UInt64(exactly: value)
    case .unsigned(let value): value
    default: nil
    }
  }
}
