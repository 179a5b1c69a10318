import CCrypto
import FerrySystem

/// SHA-256 of bytes that are in memory.
enum SHA256 {
  static func hex(_ bytes: [UInt8]) throws -> String {
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var length: UInt32 = 0
    guard EVP_Digest(bytes, bytes.count, &digest, &length, EVP_sha256(), nil) == 1 else {
      throw FerryError(.internal, "the crypto library has no SHA-256")
    }
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: digest.prefix(Int(length)).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
