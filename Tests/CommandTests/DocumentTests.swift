import FerrySystem
import TestSupport
import Testing

@Suite("Help and docs/commands.md") struct DocumentTests {
  /// A command with its options, as `--help` shows them.
  private struct Shown: Hashable {
    var path: String
    var options: Set<String>
  }

  @Test("each command has help on stdout, and the page names exactly its options")
  func page() throws {
    let desk = try Desk()
    let commands = try shown([], desk)
    #expect(commands.count > 20)
    let page = try read("docs/commands.md")
    var sections: [String: Set<String>] = [:]
    for section in page.split(separator: "\n### ").dropFirst() {
      guard let title = section.split(separator: "\n").first, title.hasPrefix("`ferry ") else { continue }
      let body = section.split(separator: "\n## ").first ?? section
      sections[title.filter { $0 != "`" }] = Set(body.matches(of: /--[a-z][a-z-]*/).map { String($0.output) })
    }
    for command in commands { #expect(sections[command.path] == command.options, "\(command.path)") }
    #expect(Set(sections.keys) == Set(commands.map(\.path)))
  }

  @Test("the page has every exit code")
  func codes() throws {
    let page = try read("docs/commands.md")
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 130] { #expect(page.contains("| \(code) |"), "\(code)") }
  }

  @Test("help and the version are results: on stdout, with 0")
  func help() throws {
    let desk = try Desk()
    for arguments in [["--help"], ["help", "run"], []] {
      let outcome = try desk.run([Products.ferry] + arguments)
      #expect(outcome.code == 0 && outcome.output.contains("USAGE: ferry") && outcome.errors == "")
    }
    #expect(try desk.ferry("--version").output.hasPrefix("ferry 0."))
  }

  private func shown(_ path: [String], _ desk: Desk) throws -> [Shown] {
    let outcome = try desk.run([Products.ferry] + path + ["--help"])
    #expect(outcome.code == 0 && outcome.errors == "", "\(path)")
    let lines = outcome.output.split(separator: "\n")
    let parts = lines.drop { !$0.hasSuffix("SUBCOMMANDS:") }.filter {
      $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.hasPrefix("  See ")
    }
    let names = parts.compactMap { $0.split(separator: " ").first.map(String.init) }
    if !names.isEmpty { return try names.flatMap { try shown(path + [$0], desk) } }
    let options = lines.filter { $0.hasPrefix("  -") }.flatMap { $0.matches(of: /--[a-z][a-z-]*/).prefix(1).map { String($0.output) } }
    return [Shown(path: (["ferry"] + path).joined(separator: " "), options: Set(options).subtracting(["--help", "--version"]))]
  }

  private func read(_ path: String) throws -> String { String(decoding: try Files.read("\(Products.repository)/\(path)"), as: UTF8.self) }
}
