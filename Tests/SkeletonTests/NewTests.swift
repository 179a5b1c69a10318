import Ferry
import FerrySystem
import TestSupport
import Testing

@Suite("ferry plugins new") struct NewTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func new(_ arguments: String...) throws -> Command.Outcome {
    var command = Command(["\(Products.stage)/bin/ferry", "plugins", "new"] + arguments)
    command.directory = folder.path
    return try command.run()
  }

  @Test("nothing of the example's own name is left", arguments: PluginSkeleton.Language.allCases)
  func names(_ language: PluginSkeleton.Language) throws {
    let package = language == .swift ? ["--package", Products.repository] : []
    let draft = try PluginSkeleton("my-own-2", language, package: package.last).draft(executable: "\(Products.stage)/bin/ferry")
    #expect(draft.files.count >= 2)
    for file in draft.files {
      #expect(file.path.hasPrefix("my-own-2/"))
      for word in ["example-file", "ExampleFile", "../.."] { #expect(!"\(file.path) \(file.text)".contains(word), "\(file.path): \(word)") }
    }
  }

  @Test("what is there already is left alone, unless it may be replaced")
  func taken() throws {
    #expect(try new("mine", "--language", "c").succeeded)
    try folder.write("mine/mine.c", "my work")
    let refused = try new("mine", "--language", "c")
    #expect(refused.code != 0 && refused.errors.contains("mine/Makefile is there already"), "\(refused.errors)")
    #expect(try folder.read("mine/mine.c") == "my work")
    #expect(try new("mine", "--language", "c", "--force").succeeded)
    #expect(try folder.read("mine/mine.c").contains("ferry_module_v1"))
    #expect(
      try new("mine", "--language", "descriptor", "--into", "elsewhere", "--json").output.contains(
        "\"files\":[\"\(folder("elsewhere/mine/README.md"))\""))
  }

  @Test(
    "what cannot be written is said before anything is",
    arguments: [
      (["Mine", "--language", "c"], "'Mine' is no name for a provider"), (["mine", "--language", "rust"], "rust"),
      (["mine", "--language", "swift"], "--language swift needs --package"),
      (["mine", "--language", "c", "--package", "."], "--package is for"),
      (["mine", "--language", "swift", "--package", "nowhere"], "nowhere is no package"),
    ])
  func refused(_ arguments: [String], _ words: String) throws {
    var command = Command(["\(Products.stage)/bin/ferry", "plugins", "new"] + arguments)
    command.directory = folder.path
    let outcome = try command.run()
    #expect(outcome.code != 0 && outcome.errors.contains(words), "\(outcome.errors)")
    #expect(Files.names(in: folder.path) == [])
  }

  @Test(
    "Ferry's package may be a URL, and is called as SwiftPM calls it",
    arguments: ["https://example.org/vendor/ferry-mirror.git", "git@example.org:ferry-mirror"])
  func url(_ url: String) throws {
    let draft = try PluginSkeleton("mine", .swift, package: url).draft(executable: "\(Products.stage)/bin/ferry")
    let text = try #require(draft.files.first { $0.path == "mine/Package.swift" }).text
    #expect(text.contains(#".package(url: "\#(url)", from: "\#(ferryVersion)")"#) && text.contains(#"package: "ferry-mirror""#), "\(text)")
  }

  @Test("a ferry that is not installed has none, and says so")
  func missing() throws {
    let error = #expect(throws: FerryError.self) { try PluginSkeleton("mine", .c).draft(executable: folder("bin/ferry")) }
    #expect(error?.class == .notFound && error?.hint.contains("make install") == true)
  }
}
