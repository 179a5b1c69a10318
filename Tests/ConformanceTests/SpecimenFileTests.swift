import Ferry
import FerryConformance
import FerrySystem
import TestSupport
import Testing

/// How a vendor gives the kit a specimen of his own kind of state.
@Suite struct SpecimenFileTests {
  private let folder: TemporaryFolder
  private let page: String
  private let plugin = "\(Products.repository)/Plugins/SQLite/sqlite.yaml"

  init() throws {
    folder = try TemporaryFolder()
    page = String(decoding: try Files.read("\(Products.repository)/docs/specimens.md"), as: UTF8.self)
  }

  /// The specimen that the page shows.
  private var example: String { page.split(separator: "```").first { $0.hasPrefix("yaml\n") }.map { String($0.dropFirst(5)) } ?? "" }

  @Test("the page's table has every key of the schema, and no other")
  func keys() {
    let members = SpecimenFile.schema["properties"]?.object ?? [:]
    let keys = members.flatMap { key, inner in (inner["properties"]?.object).map { $0.keys.map { "\(key).\($0)" } } ?? [key] }
    var said: Set<String> = []
    for line in page.split(separator: "\n") where line.hasPrefix("| `") && !line.hasPrefix("| `${") {
      let parts = line.split(separator: "|")[0].split(separator: "`", omittingEmptySubsequences: false)
      said.formUnion(stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) })
    }
    #expect(said == Set(keys))
  }

  @Test("the page's number of checks, and of faults, is right")
  func numbers() throws {
    let code = String(decoding: try Files.read("\(Products.repository)/Tests/ConformanceTests/Bad/bad.c"), as: UTF8.self)
    let faults = Set(BadPluginTests.faults.map(\.fault))
    for fault in faults.subtracting(["half", "unsaid"]) { #expect(code.contains("has(\"\(fault)\")"), "\(fault)") }
    #expect(page.contains("\(ConformanceCheck.all.count) checks") && page.contains("plugin with \(faults.count) faults"))
  }

  @Test("the page's specimen is one: the command runs with it, and says which promise is kept")
  func runs() throws {
    let path = try folder.write("specimen.yaml", example)
    func test(_ words: String, _ more: String...) throws -> Command.Outcome {
      try Command([Products.ferry, "plugins", "test", plugin, "--run", "--specimen", path, "--only", words] + more).run()
    }
    let outcome = try test("prepare twice")
    #expect(outcome.succeeded && outcome.output.contains("kept    prepare twice is prepare once"), "\(outcome)")
    let full = try test("a full disk")
    #expect(full.succeeded && full.output.contains("not run a full disk") && full.output.contains("no 'room'"), "\(full)")
    let lines = try JSONValue(parsing: test("a state moves", "--json").output)["lines"]?.array
    #expect(lines?.first?["complaints"] == [] && lines?.count == 1)
    #expect(try test("no such words").errors.contains("no check has the words"))
  }

  @Test("a specimen that does not look apart from its provider is found out: what it prints must tell states from each other")
  func blind() throws {
    let path = try folder.write("specimen.yaml", example.replacing(".dump", with: "'SELECT 1'"))
    let file = try SpecimenFile(path: path)
    let check = try #require(ConformanceCheck.all.first { $0.name.hasPrefix("an empty state") })
    let outcome = check.run { try file.subject(in: folder.path, executable: Products.ferry, plugin: PluginFile(at: plugin)) }
    #expect(outcome.complaints.contains { $0.contains("has not emptied its state") }, "\(outcome)")
  }

  @Test("what is wrong in a specimen is told at its place, all at once")
  func mistakes() throws {
    let path = try folder.write("specimen.yaml", "ferry-specimen: 1\nprovider: sqlite\nfrom: {}\nto: {}\nmakes: x\nretires: perhaps\n")
    do {
      _ = try SpecimenFile(path: path)
      Issue.record("it was read")
    } catch let error as FerryError {
      #expect(error.class == .invalid)
      for words in [
        "specimen.yaml:5:1: unknown key 'makes' in the specimen – did you mean 'make'?", "specimen.yaml:6:10:", "'look' is missing",
      ] {
        #expect(error.message.contains(words), "\(words) in \(error.message)")
      }
    }
    let other = try folder.write("other.yaml", example.replacing("provider: sqlite", with: "provider: nobody"))
    let outcome = try Command([Products.ferry, "plugins", "test", plugin, "--run", "--specimen", other]).run()
    #expect(!outcome.succeeded && outcome.errors.contains("has no provider 'nobody'"), "\(outcome)")
  }

  @Test("a command that fails is an error with its last words, and what runs beside the checks ends with them")
  func failing() throws {
    let serve = "serve: |\n  echo '{\"word\": \"said\"}'; cat; touch \"\(folder.path)/ended\"\n"
    let path = try folder.write(
      "specimen.yaml", serve + example.replacing("change: sqlite3", with: "change: echo \"${serve.word} ${unknown-}\" >&2; false; sqlite3"))
    do {
      let file = try SpecimenFile(path: path)
      let subject = try file.subject(in: folder.path, executable: Products.ferry, plugin: PluginFile(at: plugin))
      do {
        try subject.change(1)
        Issue.record("it was changed")
      } catch { #expect(FerryError.wrap(error).message.contains("the specimen's 'change' failed: exit code 1: said")) }
      #expect(!Files.exists(folder("ended")))
      subject.end()
    }
    try waitFor("the server to end") { Files.exists(folder("ended")) }
  }
}
