import FerryConformance
import FerrySystem
import Glibc
import TestSupport
import Testing

/// What docs/abi.md promises, over every provider: the kit that `ferry plugins test` is for vendors. A provider that passes fits any run.
@Suite struct ConformanceTests {
  @Test("a provider keeps what the ABI asks of it", arguments: Specimen.chosen, ConformanceCheck.all)
  func keeps(_ specimen: Specimen, _ check: ConformanceCheck) {
    #expect(check.run { try specimen.subject() } == [], "\(specimen.rawValue): \(check.name)")
  }

  @Test("every rule that the kit names is one of docs/abi.md, and is checked")
  func rules() throws {
    let page = String(decoding: try Files.read("\(Products.repository)/docs/abi.md"), as: UTF8.self)
    for rule in ConformanceCheck.Rule.allCases {
      #expect(page.contains("- **\(rule.rawValue)"), "\(rule)")
      #expect(ConformanceCheck.all.contains { $0.rule == rule }, "\(rule)")
    }
  }
}

extension ConformanceCheck: CustomTestStringConvertible {
  /// Its sentence.
  public var testDescription: String { name }
}

extension Specimen {
  /// Those that FERRY_SPECIMENS names, with semicolons between: the suite takes minutes, and work is often on one provider.
  static let chosen: [Specimen] = {
    guard let names = getenv("FERRY_SPECIMENS").map({ String(cString: $0).split(separator: ";").map(String.init) }) else { return allCases }
    let chosen = allCases.filter { names.contains($0.rawValue) }
    // A slip of the hand must not look like success.
    return chosen.count == names.count ? chosen : allCases
  }()
}
