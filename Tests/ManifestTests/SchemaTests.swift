import FerrySystem
import Glibc
import Testing

@testable import Ferry

@Suite("One table: parser, schema and docs")
struct SchemaTests {
  static let docs = packageFolder + "/docs"
  static let rewrites = getenv("FERRY_WRITE_EXPECTED") != nil

  @Test("docs/manifest.schema.json is what the table says")
  func published() throws {
    let file = Self.docs + "/manifest.schema.json"
    let schema = try JSONValue.encode(ManifestSchema.jsonSchema(), pretty: true) + [0x0A]
    if Self.rewrites { try Files.replace(file, with: schema, mode: 0o644) }
    #expect(String(decoding: schema, as: UTF8.self) == String(decoding: try Files.read(file), as: UTF8.self))
  }

  @Test("docs/manifest.md has every key of the table, and no other")
  func documented() throws {
    let file = Self.docs + "/manifest.md"
    let text = String(decoding: try Files.read(file), as: UTF8.self)
    let marker = "swift test --filter ManifestTests -->\n\n"
    let parts = text.split(separator: marker, maxSplits: 1, omittingEmptySubsequences: false)
    let wanted = "\(try #require(parts.first))\(marker)\(ManifestSchema.reference())"
    if Self.rewrites { try Files.replace(file, with: Array(wanted.utf8), mode: 0o644) }
    let now = String(decoding: try Files.read(file), as: UTF8.self)
    #expect(now == wanted)
    // The tables are made from the table, so hold them against the schema, which is walked in another way.
    let rows = now.split(separator: "\n").filter { $0.hasPrefix("| `") }.compactMap {
      $0.split(separator: "`").dropFirst().first.map(String.init)
    }
    #expect(Set(rows) == keys(of: ManifestSchema.jsonSchema()))
  }

  @Test("every pattern of the table is one that the parser takes")
  func patterns() {
    func check(_ schema: JSONValue) {
      if let pattern = schema["pattern"]?.string { #expect(throws: Never.self) { try Pattern(pattern) } }
      for value in schema.object?.values.map({ $0 }) ?? schema.array ?? [] { check(value) }
    }
    let schema = ManifestSchema.jsonSchema()
    check(schema)
    #expect(schema["properties"]?["name"]?["pattern"] == .string(ManifestSchema.namePattern))
  }

  @Test("another validator agrees with the parser on every manifest of the tests")
  func agreement() throws {
    let python = "/usr/bin/python3"
    guard try Command([python, "-c", "import jsonschema"], timeout: .seconds(60)).run().succeeded else {
      print("skipped: python3-jsonschema is not installed")
      return
    }
    var cases: [JSONValue] = []
    for folder in ["Bad", "Good"] {
      let path = "\(packageFolder)/Tests/ManifestTests/\(folder)"
      for name in Files.names(in: path) where name.hasSuffix(".yaml") {
        let text = try Files.read("\(path)/\(name)")
        let loader = ManifestLoader(text: text, file: name, folder: path, given: settings(of: text), providers: testProviders)
        _ = loader.manifest()
        // Where YAML or a parameter is broken there is no document for a schema to see.
        guard !loader.findings.all.contains(where: { $0.kind == .yaml || $0.kind == .parameter && $0.severity == .error }) else { continue }
        let isRight = !loader.findings.all.contains { $0.kind == .shape }
        cases.append(["name": .string(name), "schema": ManifestSchema.jsonSchema(), "value": loader.typed, "right": .bool(isRight)])
        for (index, checked) in loader.configs.enumerated() {
          guard let schema = checked.schema else { continue }
          cases.append(["name": .string("\(name)[\(index)]"), "schema": schema, "value": checked.config, "right": .bool(checked.isRight)])
        }
      }
    }
    #expect(cases.count > 150)
    #expect(cases.contains { $0["right"] == true } && cases.contains { $0["right"] == false })
    let script = """
      import json, sys
      from jsonschema import Draft202012Validator
      for case in json.load(open(sys.argv[1])):
          Draft202012Validator.check_schema(case["schema"])
          errors = [e.message for e in Draft202012Validator(case["schema"]).iter_errors(case["value"])]
          if case["right"] == bool(errors):
              print(case["name"], "parser:", case["right"], "schema:", errors)
      """
    let folder = "\(getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp")/ferry-manifest-\(getpid())"
    try Files.makeFolder(folder)
    defer { try? Files.remove(folder) }
    try Files.replace("\(folder)/cases.json", with: JSONValue.encode(cases))
    let outcome = try Command([python, "-c", script, "\(folder)/cases.json"], timeout: .seconds(120)).run()
    #expect(outcome.succeeded, "\(outcome.errors)")
    #expect(outcome.output == "")
  }

  private func keys(of schema: JSONValue) -> Set<String> {
    var found: Set<String> = []
    for (key, value) in schema["properties"]?.object ?? [:] { found.formUnion(keys(of: value).union([key])) }
    for inner in [schema["items"], schema["additionalProperties"]].compactMap({ $0 }) { found.formUnion(keys(of: inner)) }
    return found
  }
}
