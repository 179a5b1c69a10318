import Ferry
import FerrySystem
import Glibc
import TestSupport
import Testing

/// One table: reader, schema and docs.
@Suite struct DocumentTests {
  private let page: String

  init() throws { page = String(decoding: try Files.read("\(Products.repository)/docs/descriptors.md"), as: UTF8.self) }

  @Test("docs/descriptor.schema.json is what the table says")
  func published() throws {
    let file = "\(Products.repository)/docs/descriptor.schema.json"
    let schema = try JSONValue.encode(DescriptorSchema.jsonSchema(), pretty: true) + [0x0A]
    if getenv("FERRY_WRITE_EXPECTED") != nil { try Files.replace(file, with: schema, mode: 0o644) }
    #expect(String(decoding: schema, as: UTF8.self) == String(decoding: try Files.read(file), as: UTF8.self))
  }

  @Test("docs/descriptors.md names every key and every type of the table")
  func keys() {
    let schema = DescriptorSchema.jsonSchema()["properties"]
    let function = schema?["functions"]?["additionalProperties"]?["properties"]
    let callback = schema?["callbacks"]?["additionalProperties"]?["properties"]
    let provider = schema?["providers"]?["items"]?["properties"]
    let words = Set(page.split { !($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }.map(String.init))
    let keys = [function, callback, provider].flatMap { Array(($0?.object ?? [:]).keys) }
    #expect(keys.count > 20)
    for key in keys { #expect(words.contains(key), "\(key)") }
    let types = function?["returns"]?["enum"]?.array?.compactMap(\.string) ?? []
    // Widths are told as a range.
    for type in types where !type.contains("int") && !type.hasPrefix("out ") { #expect(words.contains(type), "\(type)") }
    let rules = function?["success"]?["enum"]?.array?.compactMap(\.string) ?? []
    #expect(rules.count == 7)
    for rule in rules { #expect(words.contains(rule), "\(rule)") }
  }

  @Test("the descriptor of libarchive is one, and its page shows every key")
  func archive() throws {
    let folder = try TemporaryFolder()
    let text = String(decoding: try Files.read("\(Products.repository)/Plugins/Archive/archive.yaml"), as: UTF8.self)
    let catalog = PluginCatalog(folders: [], lock: nil, executable: Products.ferry, cache: nil)
    let plugin = catalog.plugin(at: try folder.write("archive.yaml", text, mode: 0o644))
    #expect(plugin.error == nil)
    let schema = try #require(plugin.module?.providers.first?.schema)
    let readme = String(decoding: try Files.read("\(Products.repository)/Plugins/Archive/README.md"), as: UTF8.self)
    for key in try #require(schema["properties"]?.object?.keys) {
      #expect(readme.contains(key == "from" || key == "to" ? "`\(key).path`" : "`\(key)`"))
    }
  }
}
