import Ferry
import FerrySystem
import Glibc
import Testing

/// Tests/ManifestTests/Bad: each NAME.yaml beside NAME.expected, its diagnostics to the letter.
///
/// `#set name=value` lines at a manifest's end are the command line's. FERRY_WRITE_EXPECTED=1 writes the expectations anew, for review.
@Suite("Bad manifests")
struct BadManifestTests {
  static let folder = packageFolder + "/Tests/ManifestTests/Bad"
  static let names = Files.names(in: folder).filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }

  @Test("each says all that is wrong, where, and what was meant", arguments: names)
  func diagnosed(name: String) throws {
    let text = try Files.read("\(Self.folder)/\(name).yaml")
    let found = try diagnostics(text, set: settings(of: text))
    let told = found.map(\.description).joined(separator: "\n") + "\n"
    let file = "\(Self.folder)/\(name).expected"
    if getenv("FERRY_WRITE_EXPECTED") != nil { try Files.replace(file, with: Array(told.utf8), mode: 0o644) }
    let expected = String(decoding: try Files.read(file), as: UTF8.self)
    #expect(told == expected)
    #expect(found.contains { $0.severity == .error })
    #expect(!told.contains("hunter2"), "a secret is told")
  }

  @Test("there are at least 80 of them")
  func enough() { #expect(Self.names.count >= 80) }
}

/// The `#set name=value` lines of a test's manifest.
func settings(of text: [UInt8]) -> [String: String] {
  var settings: [String: String] = [:]
  for line in String(decoding: text, as: UTF8.self).split(separator: "\n") where line.hasPrefix("#set ") {
    let parts = line.dropFirst(5).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    if parts.count == 2 { settings[String(parts[0])] = String(parts[1]) }
  }
  return settings
}
