import FerrySystem
import Testing
import TestSupport

@testable import TreePlugin

@Suite struct DocumentTests {
  @Test("the README's table has every key of the schema, and no other")
  func keys() throws {
    let schema = try JSONValue(parsing: TreeConfig.schema)
    let properties = try #require(schema["properties"]?.object)
    var known: Set<String> = []
    for (name, property) in properties {
      if let inner = property["properties"]?.object { known.formUnion(inner.keys.map { "\(name).\($0)" }) } else { known.insert(name) }
    }
    let text = String(decoding: try Files.read("\(Products.repository)/Plugins/Tree/README.md"), as: UTF8.self)
    let cells = text.split(separator: "\n").filter { $0.hasPrefix("| `") }.compactMap { $0.split(separator: "|").first }
    let shown = Set(
      cells.flatMap {
        $0.split(separator: "`", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
      })
    #expect(shown == known)
  }
}

@Suite struct PatternTests {
  static let cases: [(pattern: String, path: String, isFolder: Bool, fits: Bool)] = [
    ("cache/", "cache", true, true), ("cache/", "a/b/cache", true, true), ("cache/", "cache", false, false),
    ("*.tmp", "x.tmp", false, true), ("*.tmp", "a/x.tmp", false, true), ("*.tmp", "a.tmp/x", false, false),
    ("/a", "a", false, true), ("/a", "b/a", false, false), ("a/b", "a/b", false, true), ("a/b", "c/a/b", false, false),
    ("a/*", "a/b", false, true), ("a/*", "a/b/c", false, false), ("a/**", "a/b/c", false, true), ("[ab]?", "a1", false, true),
    ("grün", "grün", false, true),
  ]

  @Test("a pattern fits what the README says", arguments: cases.indices)
  func fits(_ index: Int) {
    let (pattern, path, isFolder, fits) = Self.cases[index]
    #expect(TreePatterns([pattern]).fits(Array(path.utf8), isFolder ? .folder : .file) == fits)
  }
}
