import FerrySystem
import Haystack

/// A Haystack server of anybody's, over HTTP. For one thread.
public final class HaystackClient {
  private let url: String
  private let user: String?
  private let password: [UInt8]
  private let cancellation: Cancellation
  /// What the ids of the server's records begin with (`p:project:r:`), if they do.
  let project: String
  private var token: String?

  /// A server: `http://host/api/project`, `https://…`. Without a user it is asked without login. `project`: what its references belong to.
  public init(_ url: String, user: String?, password: [UInt8], project: String = "", cancellation: Cancellation = Cancellation()) {
    self.project = project
    self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
    (self.user, self.password, self.cancellation) = (user, password, cancellation)
  }

  /// What the server says of itself.
  public func about() throws -> HDict {
    var row: HDict = [:]
    try rows("about", nil) { row = $0.tree }
    return row
  }

  /// The answer to an operation, row by row. Failures, also those that come as grids, and answers that end early are errors.
  public func rows(
    _ operation: String, _ arguments: HGrid?, meta: (HDict) throws -> Void = { _ in }, _ body: (PackedDict) throws -> Void
  ) throws {
    if token == nil && user != nil { try login() }
    do { try ask(operation, arguments, meta, body) } catch let error as FerryError where error.class == .auth && token != nil {
      // Tokens expire.
      try login()
      try ask(operation, arguments, meta, body)
    }
  }

  private func ask(
    _ operation: String, _ arguments: HGrid?, _ meta: (HDict) throws -> Void, _ body: (PackedDict) throws -> Void
  ) throws {
    var headers = ["Accept: text/zinc", "Content-Type: text/zinc; charset=utf-8"]
    if let token { headers.append("Authorization: BEARER authToken=\(token)") }
    let (reader, writer) = try Descriptor.socketPair()
    let request = HTTPRequest(
      url: "\(url)/\(operation)", headers: headers, body: arguments.map { Array(ZincWriter.text($0).utf8) }, sink: writer,
      cancellation: cancellation)
    let over = Signal()
    Threads.detach {
      request.perform()
      writer.close()
      over.raise()
    }
    let parsed = Result {
      try RecordFormat.zinc.forEach(TextReader("\(url)/\(operation)") { try reader.read(upTo: $0) }, endsWithLine: true, meta: meta, body)
    }
    reader.close()
    over.wait()
    // The answer's end is only as good as the connection's.
    try request.throwIfFailed("\(url)/\(operation)")
    try parsed.get()
  }

  // MARK: Login

  private func login() throws {
    guard let user else { return }
    var scram = Scram(user: user, password: password)
    var step = try challenge("HELLO username=\(Base64.encode(Array(user.utf8)))")
    // Some take padded base64 only, and want the first message with the greeting.
    let isPadded = step.status == 400
    func encode(_ bytes: [UInt8]) -> String { Base64.encode(bytes, padded: isPadded) }
    if isPadded { step = try challenge("HELLO username=\(encode(Array(user.utf8))), data=\(encode(scram.first))") }
    guard step.status == 401, step.scheme == "scram", let handshake = step.parameters["handshaketoken"] else {
      throw FerryError(.auth, "\(url) does not offer SCRAM to user '\(user)'")
    }
    guard (step.parameters["hash"] ?? "SHA-256").uppercased() == "SHA-256" else {
      throw FerryError(.unsupported, "\(url) wants \(step.parameters["hash"] ?? "") for its login, and this end knows SHA-256")
    }
    var answer = step.parameters["data"].flatMap(Base64.decode)
    var latest = handshake
    if answer == nil {
      step = try challenge("SCRAM handshakeToken=\(handshake), hash=SHA-256, data=\(encode(scram.first))")
      guard step.status == 401, let data = step.parameters["data"].flatMap(Base64.decode) else { throw refused(user) }
      answer = data
      latest = step.parameters["handshaketoken"] ?? handshake
    }
    let final = try scram.final(answer ?? [])
    step = try challenge("SCRAM handshakeToken=\(latest), hash=SHA-256, data=\(encode(final))")
    guard step.status == 200, let token = step.parameters["authtoken"] else { throw refused(user) }
    guard let proof = step.parameters["data"].flatMap(Base64.decode), scram.proves(proof) else {
      throw FerryError(.auth, "\(url) does not prove that it knows the password of '\(user)' itself")
    }
    self.token = token
  }

  private func refused(_ user: String) -> FerryError {
    FerryError(.auth, "\(url) refused user '\(user)'", hint: "is the item's secret 'password' the right one?")
  }

  private struct Step {
    var status: Int
    var scheme: String
    var parameters: [String: String]
  }

  private func challenge(_ authorization: String) throws -> Step {
    let request = HTTPRequest(
      url: "\(url)/about", headers: ["Accept: text/zinc", "Authorization: \(authorization)"], body: nil, sink: nil,
      cancellation: cancellation)
    request.perform()
    try request.throwIfFailed("\(url)/about", anyStatus: true)
    let name = request.status == 200 ? "authentication-info" : "www-authenticate"
    let value = request.heads.first { $0.lowercased().hasPrefix("\(name):") }.map { String($0.drop { $0 != ":" }.dropFirst()) } ?? ""
    var parameters: [String: String] = [:]
    var scheme = ""
    for (index, part) in value.split(separator: ",").enumerated() {
      // CR LF is one character.
      var text = String(part.drop { $0 == " " }.prefix { !$0.isNewline })
      if index == 0, let space = text.firstIndex(of: " "), !text[..<space].contains("=") {
        scheme = text[..<space].lowercased()
        text = String(text[text.index(after: space)...])
      }
      let pair = text.split(separator: "=", maxSplits: 1)
      if pair.count == 2 { parameters[pair[0].lowercased()] = String(pair[1]) }
    }
    return Step(status: request.status, scheme: scheme, parameters: parameters)
  }
}

/// What a filter matches at a server.
public struct HaystackQuery: RecordSource {
  private let client: HaystackClient
  private let filter: String

  /// A query.
  public init(_ client: HaystackClient, filter: String) { (self.client, self.filter) = (client, filter) }

  /// All that matches. The original's default limit would be an answer that looks whole, so none is asked for by number.
  public func forEach(_ body: (PackedDict) throws -> Void) throws {
    _ = try Filter(filter)
    try client.rows("read", HGrid(columns: [HGrid.Column("filter")], rows: [["filter": .string(filter)]]), body)
  }
}
