import FerryPluginKit

/// A deposit as tags of the snapshot that it is about: `proof.root="…"`. What is listed is then known whole; nothing has to be read besides.
///
/// Each member of the object, and of those in it, has a tag; its value is JSON.
enum ResticProof {
  private static let prefix = "proof."

  /// The tags that hold it.
  static func tags(_ deposit: JSONValue) -> [String] {
    leaves(deposit, []).map { path, value in
      // restic takes a comma for the end of a tag, and a blank at its end for nothing.
      prefix + path.map { escaped($0, also: ".=") }.joined(separator: ".") + "=" + escaped(value.text)
    }
  }

  /// The deposit that tags hold; nil if they hold none.
  static func deposit(in tags: [String]) throws -> JSONValue? {
    let proofs = tags.filter { $0.hasPrefix(prefix) }
    guard !proofs.isEmpty else { return nil }
    var found: JSONValue = [:]
    for tag in proofs {
      let parts = tag.dropFirst(prefix.count).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { throw FerryError(.io, "the snapshot's tag '\(tag)' is not whole") }
      let path = parts[0].split(separator: ".", omittingEmptySubsequences: false).map { unescaped($0) }
      put(try JSONValue(parsing: unescaped(parts[1])), at: path[...], in: &found)
    }
    return found
  }

  private static func leaves(_ value: JSONValue, _ path: [String]) -> [(path: [String], value: JSONValue)] {
    guard let members = value.object, !members.isEmpty else { return [(path, value)] }
    return members.sorted { $0.key < $1.key }.flatMap { leaves($0.value, path + [$0.key]) }
  }

  private static func put(_ value: JSONValue, at path: ArraySlice<String>, in object: inout JSONValue) {
    guard let first = path.first else { return object = value }
    var inner = object[first] ?? [:]
    put(value, at: path.dropFirst(), in: &inner)
    object[first] = inner
  }

  private static func escaped(_ text: String, also more: String = "") -> String {
    text.utf8.map { byte in
      let character = Character(UnicodeScalar(byte))
      guard byte <= 0x20 || byte >= 0x7f || "%,".contains(character) || more.contains(character) else { return String(character) }
      return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
  }

  private static func unescaped(_ text: Substring) -> String {
    var (bytes, rest) = ([UInt8](), text.utf8[...])
    while let byte = rest.popFirst() {
      if byte == 0x25, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
