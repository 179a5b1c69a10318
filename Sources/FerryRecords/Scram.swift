import CCrypto
import FerrySystem
import FoundationEssentials

/// SCRAM-SHA-256 (RFC 7677), the client's side, with messages in base64 as Haystack's HTTP carries them.
struct Scram {
  private let user: String
  private let password: [UInt8]
  private let nonce: String
  private var bare: String { "n=\(user),r=\(nonce)" }
  /// What the server must prove to know, once `final` was made.
  private(set) var serverSignature: [UInt8] = []

  init(user: String, password: [UInt8]) {
    self.user = user.split(separator: "=", omittingEmptySubsequences: false).joined(separator: "=3D")
      .split(separator: ",", omittingEmptySubsequences: false).joined(separator: "=2C")
    self.password = password
    nonce = Data((0..<18).map { _ in UInt8.random(in: 0...255) }).base64EncodedString()
  }

  /// The first message.
  var first: [UInt8] { Array("n,,\(bare)".utf8) }

  /// The last message, to what the server answered.
  mutating func final(_ answer: [UInt8]) throws -> [UInt8] {
    let text = String(decoding: answer, as: UTF8.self)
    var fields: [Substring: String] = [:]
    for part in text.split(separator: ",") {
      let pair = part.split(separator: "=", maxSplits: 1)
      if pair.count == 2 { fields[pair[0]] = String(pair[1]) }
    }
    guard let theirs = fields["r"], theirs.hasPrefix(nonce), theirs.utf8.count > nonce.utf8.count,
      let salt = fields["s"].flatMap(Base64.decode),
      let rounds = fields["i"].flatMap(Int32.init), rounds >= 1, rounds <= 10_000_000
    else { throw FerryError(.peer, "the server's answer to the login makes no sense") }
    var salted = [UInt8](repeating: 0, count: 32)
    let made = password.withUnsafeBytes { password in
      PKCS5_PBKDF2_HMAC(
        password.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(password.count), salt, Int32(salt.count), rounds, EVP_sha256(), 32,
        &salted)
    }
    guard made == 1 else { throw FerryError(.internal, "the password cannot be hashed") }
    let clientKey = Self.hmac(salted, Array("Client Key".utf8))
    let withoutProof = "c=biws,r=\(theirs)"
    let message = Array("\(bare),\(text),\(withoutProof)".utf8)
    let signature = Self.hmac(Self.sha256(clientKey), message)
    let proof = zip(clientKey, signature).map { $0 ^ $1 }
    serverSignature = Self.hmac(Self.hmac(salted, Array("Server Key".utf8)), message)
    return Array("\(withoutProof),p=\(Data(proof).base64EncodedString())".utf8)
  }

  /// Whether the server knows the password, too.
  func proves(_ answer: [UInt8]) -> Bool {
    let text = String(decoding: answer, as: UTF8.self)
    guard text.hasPrefix("v="), let theirs = Base64.decode(String(text.dropFirst(2).prefix { $0 != "," })) else { return false }
    return theirs.count == serverSignature.count && zip(theirs, serverSignature).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }

  private static func hmac(_ key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: 32)
    var length = 0
    EVP_Q_mac(nil, "HMAC", nil, "SHA256", nil, key, key.count, message, message.count, &result, 32, &length)
    return result
  }

  private static func sha256(_ bytes: [UInt8]) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: 32)
    result.withUnsafeMutableBytes { _ = RecordHasher(EVP_sha256()).digest(bytes, into: $0) }
    return result
  }
}

/// Base64 in either alphabet, with or without padding.
enum Base64 {
  static func decode(_ text: String) -> [UInt8]? {
    var plain = String(text.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }.filter { $0 != "=" })
    while plain.utf8.count % 4 != 0 { plain += "=" }
    return Data(base64Encoded: plain).map { Array($0) }
  }

  /// In the alphabet for URLs and without padding, as Haystack says; or in the plain one, for servers that insist.
  static func encode(_ bytes: [UInt8], padded: Bool = false) -> String {
    let text = Data(bytes).base64EncodedString()
    return padded ? text : String(text.filter { $0 != "=" }.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
  }
}
