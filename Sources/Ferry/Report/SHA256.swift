import CCrypto
import FerrySystem

/// SHA-256 of manifests, hooks, plugins and names, as lowercase hex.
enum SHA256 {
  /// Of bytes in memory.
  static func hex(_ bytes: [UInt8]) -> String {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    EVP_DigestInit_ex(context, EVP_sha256(), nil)
    EVP_DigestUpdate(context, bytes, bytes.count)
    return finish(context)
  }

  /// Of everything that a descriptor holds from its present place on.
  static func hex(of file: Descriptor) throws -> String {
    let context = EVP_MD_CTX_new()
    defer { EVP_MD_CTX_free(context) }
    EVP_DigestInit_ex(context, EVP_sha256(), nil)
    while true {
      let bytes = try file.read(upTo: 1 << 18)
      if bytes.isEmpty { return finish(context) }
      EVP_DigestUpdate(context, bytes, bytes.count)
    }
  }

  private static func finish(_ context: OpaquePointer?) -> String {
    var digest = [UInt8](repeating: 0, count: 32)
    EVP_DigestFinal_ex(context, &digest, nil)
    return Hex.text(digest)
  }
}

/// Bytes as lowercase hex.
enum Hex {
  static func text(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// That many bytes from the system's generator.
  static func random(_ count: Int) -> String {
    var generator = SystemRandomNumberGenerator()
    return text((0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
  }
}
