import FerrySystem
import Testing

@testable import Ferry

@Suite("Mutated manifests")
struct FuzzTests {
  /// Numbers from a seed, so that a failure can be had again.
  struct Dice: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
      mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
      return mixed ^ (mixed >> 31)
    }
  }

  static let words = [
    "\0", "\t", "\u{FEFF}", "\u{85}", "é", "🚢", "\u{1B}[31m", "\r\n", "\n", " ", "  ", "- ", ": ", "? ", "{", "}", "[", "]", "&a ", "*a",
    "<<: *a", "!!str ",
    "'", "\"", "|\n", ">-\n", "---\n", "...\n", "%YAML 1.1\n", "#", "${", "}", "${target}", "$${", "${env:X}", "~", "null", "true", "-1",
    "99999999999999999999",
    "1e400", "secrets: { a: hunter2 }", "from:", "to: {}", "after: [a]", "pattern: \"((a{9}){9}){999}\"", "\\", "\"\\x00\"", "0x1F", "é: 1",
    ",",
  ]

  static let seeds: [[UInt8]] = ["Bad", "Good"].flatMap { folder -> [[UInt8]] in
    let path = "\(packageFolder)/Tests/ManifestTests/\(folder)"
    return Files.names(in: path).filter { $0.hasSuffix(".yaml") }.compactMap { try? Files.read("\(path)/\($0)") }.filter { $0.count < 4096 }
  }

  @Test("each parses or is told to be wrong at a place inside the file", arguments: 0..<8)
  func mutants(seed: Int) throws {
    var dice = Dice(state: UInt64(seed))
    for _ in 0..<500 {
      let mutant = mutate(&dice)
      do {
        _ = try Manifest.parse(
          text: mutant, file: "m.yaml", folder: "/srv", parameters: ["target": "node2"], providers: testProviders)
      } catch let errors as ManifestErrors {
        #expect(errors.diagnostics.contains { $0.severity == .error })
        let lines = self.lines(mutant)
        for diagnostic in errors.diagnostics where !isInside(diagnostic, lines) {
          Issue.record("\(diagnostic.headline) is outside of \(String(decoding: mutant, as: UTF8.self).debugDescription)")
        }
      }
    }
  }

  private func mutate(_ dice: inout Dice) -> [UInt8] {
    var bytes = Self.seeds.randomElement(using: &dice) ?? []
    for _ in 0..<Int.random(in: 1...6, using: &dice) {
      let at = Int.random(in: 0...bytes.count, using: &dice)
      let end = min(bytes.count, at + Int.random(in: 0...24, using: &dice))
      switch Int.random(in: 0..<6, using: &dice) {
      case 0: bytes.removeSubrange(at..<end)
      case 1: bytes.insert(contentsOf: bytes[at..<end], at: at)
      case 2 where at < bytes.count: bytes[at] = UInt8.random(in: 0...255, using: &dice)
      case 3:
        let other = Self.seeds.randomElement(using: &dice) ?? []
        let from = Int.random(in: 0...other.count, using: &dice)
        bytes.replaceSubrange(at..<end, with: other[from..<min(other.count, from + 60)])
      case 4 where at < bytes.count: bytes[at] ^= 1 << UInt8.random(in: 0..<7, using: &dice)
      default: bytes.insert(contentsOf: Array((Self.words.randomElement(using: &dice) ?? "").utf8), at: at)
      }
    }
    return bytes
  }

  private func lines(_ bytes: [UInt8]) -> [Int] {
    var lengths = [0]
    var previous: Unicode.Scalar = " "
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      if "\n\r\u{85}\u{2028}\u{2029}".unicodeScalars.contains(scalar) {
        if !(scalar == "\n" && previous == "\r") { lengths.append(0) }
      } else {
        lengths[lengths.count - 1] += 1
      }
      previous = scalar
    }
    return lengths
  }

  private func isInside(_ diagnostic: Diagnostic, _ lines: [Int]) -> Bool {
    guard (1...lines.count).contains(diagnostic.line), diagnostic.length >= 1 else { return false }
    let isPlain = diagnostic.excerpt.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control }
    return isPlain && (1...lines[diagnostic.line - 1] + 1).contains(diagnostic.column)
  }
}
