import Ferry
import FerryConformance
import FerrySystem
import Glibc
import TestSupport
import Testing

/// What docs/abi.md promises, over every provider: the kit that `ferry plugins test` is for vendors. A provider that passes fits any run.
@Suite struct ConformanceTests {
  @Test("a provider keeps what the ABI asks of it", arguments: Specimen.chosen, ConformanceCheck.all)
  func keeps(_ specimen: Specimen, _ check: ConformanceCheck) {
    let outcome = check.run { try specimen.subject() }
    #expect(outcome.complaints == [], "\(specimen.rawValue): \(check.name)")
    #expect(outcome.notRun == nil || check.rule == .room, "\(outcome.notRun ?? "")")
  }

  @Test(
    "a provider of any other kind of state keeps it, with a specimen of its own", .serialized, arguments: SpecimenOfPlugin.chosen,
    ConformanceCheck.all)
  func keeps(_ specimen: SpecimenOfPlugin, _ check: ConformanceCheck) throws {
    let file = try specimen.file()
    let folder = try TemporaryFolder()
    let outcome = check.run { try file.subject(in: folder.path, executable: Products.ferry, plugin: specimen.plugin()) }
    #expect(outcome.complaints == [], "\(specimen.testDescription): \(check.name)")
    #expect(outcome.notRun == nil || check.rule == .room, "\(outcome.notRun ?? "")")
  }

  @Test("every rule that the kit names is one of docs/abi.md, and is checked")
  func rules() throws {
    let page = String(decoding: try Files.read("\(Products.repository)/docs/abi.md"), as: UTF8.self)
    for rule in ConformanceCheck.Rule.allCases {
      #expect(page.contains("<a id=\"\(rule.rawValue)\"></a>**"), "\(rule)")
      #expect(ConformanceCheck.all.contains { $0.rule == rule }, "\(rule)")
    }
  }
}

/// A specimen file: how the kit makes, changes and looks at a state that is neither a folder nor a file. A new one is a line in `all`.
struct SpecimenOfPlugin: Sendable, CustomTestStringConvertible {
  /// Its file, from the repository's top.
  let path: String
  /// What is loaded: a descriptor beside it, or what this build made.
  let plugin: @Sendable () throws -> PluginFile

  static let all = [
    SpecimenOfPlugin("Plugins/SQLite/specimen.yaml", descriptor: "Plugins/SQLite/sqlite.yaml"),
    SpecimenOfPlugin("Tests/TidbContract/specimen.yaml", product: "tidb-br"),
  ]

  private init(_ path: String, descriptor: String) {
    self.path = path
    plugin = { try PluginFile(at: "\(Products.repository)/\(descriptor)") }
  }

  private init(_ path: String, product: String) {
    self.path = path
    plugin = { try PluginFile(at: "\(Products.folder)/libferry-plugin-\(product).so") }
  }

  var testDescription: String { path }

  /// What runs beside a specimen's checks is started once.
  private static let files = Lock<[String: Result<SpecimenFile, any Error>]>([:])

  func file() throws -> SpecimenFile {
    try Self.files.withLock { files in
      if let known = files[path] { return try known.get() }
      let made = Result { try SpecimenFile(path: "\(Products.repository)/\(path)") }
      files[path] = made
      return try made.get()
    }
  }
}

extension PluginFile {
  /// As it is on this disk.
  init(at path: String) throws {
    self.init(path: path, sha256: String(try Command(["sha256sum", path]).run().output.prefix(64)))
  }
}

extension ConformanceCheck: CustomTestStringConvertible {
  /// Its sentence.
  public var testDescription: String { name }
}

/// Those that FERRY_SPECIMENS names, with semicolons between: the suite takes minutes, and work is often on one provider.
private let named = getenv("FERRY_SPECIMENS").map { String(cString: $0).split(separator: ";").map(String.init) }

/// Whether all that is named is there: a slip of the hand must not look like success.
private let isRight = named.map { names in
  names.allSatisfy { name in Specimen.allCases.contains { $0.rawValue == name } || SpecimenOfPlugin.all.contains { $0.path == name } }
}

extension Specimen {
  static let chosen = allCases.filter { isRight != true || named?.contains($0.rawValue) == true }
}

extension SpecimenOfPlugin {
  static let chosen = all.filter { isRight != true || named?.contains($0.path) == true }
}
