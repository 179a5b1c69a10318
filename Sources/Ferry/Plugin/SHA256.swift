import CCrypto
import FerrySystem

/// SHA-256, streamed.
enum SHA256 {
  /// The digest of everything that a descriptor holds from its present place on, hex.
  static func hex(of file: Descriptor) throws -> String {
    guard let context = EVP_MD_CTX_new() else { throw FerryError(.internal, "no memory for a digest") }
    defer { EVP_MD_CTX_free(context) }
    guard EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else { throw FerryError(.internal, "SHA-256 is not available") }
    while true {
      let bytes = try file.read(upTo: 1 << 18)
      if bytes.isEmpty { break }
      EVP_DigestUpdate(context, bytes, bytes.count)
    }
    var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
    var length: UInt32 = 0
    EVP_DigestFinal_ex(context, &digest, &length)
    return digest.prefix(Int(length)).map { byte in
      let text = String(byte, radix: 16)
      return byte < 16 ? "0\(text)" : text
    }.joined()
  }
}
