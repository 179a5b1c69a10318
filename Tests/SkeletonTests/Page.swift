import FerrySystem
import TestSupport

/// docs/write-a-plugin.md as somebody follows it: its listings, and its commands with what they print.
struct Page {
  /// What stands between two fences.
  struct Block: Sendable {
    /// The heading that it stands under.
    var section: String
    var language: String
    /// The file that it shows, or a part of.
    var file: String?
    var text: String
  }

  let blocks: [Block]

  init() throws {
    var blocks: [Block] = []
    var section = ""
    var open: Block?
    for line in String(decoding: try Files.read("\(Products.repository)/docs/write-a-plugin.md"), as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
    {
      if let block = open {
        if line == "```" { blocks.append(block) }
        open = line == "```" ? nil : block
        open?.text += "\(line)\n"
      } else if line.hasPrefix("## ") {
        section = String(line.dropFirst(3))
      } else if line.hasPrefix("```") {
        let words = line.dropFirst(3).split(separator: " ").map(String.init)
        open = Block(section: section, language: words.first ?? "", file: words.dropFirst().first, text: "")
      }
    }
    self.blocks = blocks
  }

  /// The files that it shows, each put together from its parts: an empty line stands between two of them.
  var listings: [String: String] {
    Dictionary(blocks.compactMap { block in block.file.map { ($0, block.text) } }) { "\($0)\n\($1)" }
  }

  /// Writes the listings of a section that are no plugin's, and does its commands in order, each block from the same folder: a test's own.
  func follow(_ section: String, in folder: TemporaryFolder, listings: Set<String> = []) throws {
    for block in blocks where block.section == section {
      if let file = block.file, listings.contains(file) { try folder.write(file, block.text) }
      if block.language == "console" { try perform(block.text, in: folder) }
    }
  }

  private func perform(_ session: String, in folder: TemporaryFolder) throws {
    var directory = folder.path
    for step in "\n\(session)".split(separator: "\n$ ") {
      let parts = step.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
      let line = String(parts[0])
      if line.hasPrefix("cd ") {
        directory = Files.absolute(String(line.dropFirst(3)), in: directory)
        continue
      }
      var command = Command(["/bin/sh", "-c", "exec 2>&1\n\(line)"], timeout: .seconds(480))
      command.directory = directory
      command.environment = [
        "PATH": "\(Products.stage)/bin:\(Environment.all["PATH"] ?? "/usr/bin:/bin")", "FERRY_PACKAGE": Products.repository,
        "FERRY_STATE": folder("state"), "FERRY_HOME": folder("home"), "FERRY_PLUGINS": nil, "XDG_CACHE_HOME": folder("cache"),
        "TERM": "dumb",
        // A vendor's package is built as a vendor builds it.
        "FERRY_WARNINGS": nil, "FERRY_TESTS": nil,
      ]
      let outcome = try command.run()
      guard outcome.succeeded else { throw FerryError(.internal, "`\(line)`: \(outcome.reason)\n\(outcome.output)") }
      let shown = parts.count > 1 ? String(parts[1]) : ""
      guard Self.matches(outcome.output, shown.hasSuffix("\n") || shown.isEmpty ? shown : "\(shown)\n") else {
        throw FerryError(.internal, "`\(line)` prints:\n\(outcome.output)\nand the page shows:\n\(shown)")
      }
    }
  }

  /// `…` on the page stands for whatever is there.
  static func matches(_ output: String, _ shown: String) -> Bool {
    let parts = shown.split(separator: "…", omittingEmptySubsequences: false)
    guard parts.count > 1, let first = parts.first, let last = parts.last else { return output == shown }
    guard output.hasPrefix(first) else { return false }
    var rest = output.dropFirst(first.count)
    for part in parts.dropFirst().dropLast() where !part.isEmpty {
      guard let found = rest.firstRange(of: part) else { return false }
      rest = rest[found.upperBound...]
    }
    return rest.hasSuffix(last)
  }
}
