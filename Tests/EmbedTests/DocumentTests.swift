import FerrySystem
import TestSupport
import Testing

@Suite("docs/embed.md") struct DocumentTests {
  private func read(_ path: String) throws -> String { String(decoding: try Files.read("\(Products.repository)/\(path)"), as: UTF8.self) }

  @Test("each listing is the program itself", arguments: ["c/move.c", "python/move.py", "swift/Sources/move/Move.swift"])
  func listings(_ file: String) throws {
    let program = try read("Examples/embed/\(file)")
    #expect(try read("docs/embed.md").contains("\n\(program)```\n"), "docs/embed.md shows another \(file)")
    #expect(program.split(separator: "\n").count < 80)
  }
}
