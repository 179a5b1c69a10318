import FerryPluginKit

/// The item's secrets, by the manifest's names, and the one place that keeps them out of texts.
struct Secrets: Sendable {
  private let values: [String: String]

  static let names = ["from-password", "to-password", "sink-password", "s3-access-key", "s3-secret-key", "encryption-key"]

  init(_ context: ProviderContext) throws {
    var values: [String: String] = [:]
    for name in Self.names {
      do { values[name] = String(decoding: try context.secret(name), as: UTF8.self) } catch let error as FerryError
        where error.class == .notFound
      { continue }
    }
    self.values = values
  }

  init(values: [String: String]) { self.values = values }

  subscript(name: String) -> String? { values[name] }

  /// A text without the secrets, in any form that they travel in.
  func scrub(_ text: String) -> String {
    var text = text
    for value in values.values where value.utf8.count >= 4 {
      for form in Set([value, value.percentEncoded]) { text = text.replacing(form, with: "***") }
    }
    return text
  }
}

extension String {
  /// For a URI's user, password or query.
  var percentEncoded: String {
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: bytes.append(byte)
      default: bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
