import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

/// A vendor's first hour.
@Suite("docs/write-a-plugin.md") struct PageTests {
  /// What a section's commands have left, done once.
  private struct Followed: Sendable {
    let folder: TemporaryFolder

    init(_ sections: String...) throws {
      folder = try TemporaryFolder()
      for section in sections { try Page().follow(section, in: folder, listings: ["move.yaml"]) }
    }
  }
  private static let c = Result { try Followed("In C", "A run") }
  private static let swift = Result { try Followed("In Swift") }
  private static let descriptor = Result { try Followed("As a descriptor") }

  @Test("each listing is what `ferry plugins new` writes, and all that it writes is on the page")
  func listings() throws {
    let page = try Page()
    let templates = "\(Products.repository)/Examples/plugin"
    var shown = page.listings
    #expect(shown.removeValue(forKey: "move.yaml") != nil)
    for language in PluginSkeleton.Language.allCases {
      for path in try Command(["find", "-L", "\(templates)/\(language)", "-type", "f", "-not", "-path", "*/.*"]).run().output.split(
        separator: "\n")
      {
        let name = path.dropFirst("\(templates)/\(language)/".count)
        // README.md is for whoever gets the plugin.
        if name == "README.md" || name == "Package.resolved" { continue }
        #expect(shown.removeValue(forKey: String(name)) == String(decoding: try Files.read(String(path)), as: UTF8.self), "\(name)")
      }
    }
    #expect(shown.keys.sorted() == [])
    #expect(Set(page.blocks.map(\.language)) == ["c", "make", "swift", "yaml", "console"])
  }

  @Test("in C: it is written, built, keeps every promise, and moves a file in a run", .timeLimit(.minutes(15)))
  func inC() throws { _ = try Self.c.get() }

  @Test("in Swift: it is written, built with Ferry's package, and keeps every promise", .timeLimit(.minutes(15)))
  func inSwift() throws { _ = try Self.swift.get() }

  @Test("as a descriptor: it is written, keeps every promise, and a mistake in it is named", .timeLimit(.minutes(15)))
  func asDescriptor() throws { _ = try Self.descriptor.get() }

  @Test("the plugins in C and in Swift are the same: one sends to the other, and their digests agree", .timeLimit(.minutes(15)))
  func together() throws {
    let libraries = [
      try Self.c.get().folder("acme-file/acme-file.so"), try Self.swift.get().folder("swift/acme-file/.build/release/libacme-file.so"),
    ]
    for ends in [libraries, libraries.reversed()] {
      let folder = try TemporaryFolder()
      try folder.write("from", String(repeating: "state ", count: 50_000), mode: 0o640)
      let harnesses = try ends.map {
        try Harness(
          product: $0, provider: "acme-file", folder: TemporaryFolder(), from: ["file": .string(folder("from"))],
          to: ["file": .string(folder("to"))])
      }
      for harness in harnesses { try harness.prepare() }
      let (left, right) = try Descriptor.socketPair()
      _ = try Threads.map([(Side.source, left), (.destination, right)]) { side, channel in
        try harnesses[side == .source ? 0 : 1].half(side, channel, final: true)
      }
      let (sent, received) = (try harnesses[0].digest(.source), try harnesses[1].digest(.destination))
      #expect(sent["root"] != nil && sent["root"] == received["root"] && sent["bytes"] == received["bytes"], "\(sent) \(received)")
      try harnesses[1].call(.destination, .activate)
      #expect(try folder.read("to") == folder.read("from"))
    }
  }
}
