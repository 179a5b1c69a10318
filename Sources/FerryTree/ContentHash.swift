import CCrypto
import CXXHash
import FerrySystem
import Glibc

/// What trees are hashed with.
public enum HashAlgorithm: String, Sendable, Codable {
  /// Against faults; the channel is what keeps attackers out.
  case xxh3 = "xxh3-128"
  /// For those who want it.
  case sha256

  /// The hash of some bytes, as hex digits.
  public func hex(_ bytes: [UInt8]) -> String {
    let hasher = ContentHasher(self)
    hasher.update(bytes)
    return hasher.finish().hex
  }
}

/// A hash of 16 or 32 bytes.
public struct TreeHash: Sendable, Hashable {
  var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
  var length = 0

  /// Equal in algorithm's length and in all bytes.
  public static func == (left: TreeHash, right: TreeHash) -> Bool {
    left.words == right.words && left.length == right.length
  }
  /// Its own bytes are hash enough.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
  }

  /// Its bytes.
  public var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0.prefix(length)) } }

  /// Its bytes as hex digits.
  public var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}

/// Hashes one thing after another; for one thread.
final class ContentHasher {
  private let algorithm: HashAlgorithm
  private let xxh: OpaquePointer?
  private let evp: OpaquePointer?

  init(_ algorithm: HashAlgorithm) {
    self.algorithm = algorithm
    xxh = algorithm == .xxh3 ? XXH3_createState() : nil
    evp = algorithm == .sha256 ? EVP_MD_CTX_new() : nil
    restart()
  }

  deinit {
    XXH3_freeState(xxh)
    EVP_MD_CTX_free(evp)
  }

  private func restart() {
    switch algorithm {
    case .xxh3: _ = XXH3_128bits_reset(xxh)
    case .sha256: _ = EVP_DigestInit_ex(evp, EVP_sha256(), nil)
    }
  }

  func update(_ bytes: UnsafeRawBufferPointer) {
    switch algorithm {
    case .xxh3: _ = XXH3_128bits_update(xxh, bytes.baseAddress, bytes.count)
    case .sha256: _ = EVP_DigestUpdate(evp, bytes.baseAddress, bytes.count)
    }
  }

  func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  /// The hash of all since the last one.
  func finish() -> TreeHash {
    var hash = TreeHash()
    switch algorithm {
    case .xxh3:
      let value = XXH3_128bits_digest(xxh)
      hash.words = (value.high64.bigEndian, value.low64.bigEndian, 0, 0)
      hash.length = 16
    case .sha256:
      withUnsafeMutableBytes(of: &hash.words) { buffer in
        _ = EVP_DigestFinal_ex(evp, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
      }
      hash.length = 32
    }
    restart()
    return hash
  }
}

/// Hashes bytes that are in memory already: for providers whose state is no tree.
public struct ContentDigest {
  private let hasher: ContentHasher

  /// A digest of that kind.
  public init(_ algorithm: HashAlgorithm) { hasher = ContentHasher(algorithm) }

  /// The hash of bytes, hex.
  public func hex(of bytes: [UInt8]) -> String {
    hasher.update(bytes)
    return hasher.finish().hex
  }
}

/// A canonical record: lengths before bytes, numbers in one byte order.
struct CanonicalRecord {
  private(set) var bytes: [UInt8] = []

  mutating func add(_ number: some FixedWidthInteger) { withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) } }
  mutating func add(_ content: [UInt8]) {
    add(UInt32(content.count))
    bytes += content
  }
  mutating func add(_ hash: TreeHash) { add(hash.bytes) }
}
