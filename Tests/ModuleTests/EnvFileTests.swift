import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@testable import EnvFilePlugin

@Suite struct EnvFileTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for name in ["a", "b"] { try Files.makeFolder(folder(name)) }
  }

  /// A whole move of `from` onto `to`; answers what is at the destination then.
  private func move(_ from: String, onto to: String?, mode: String = "copy", keys: [String: JSONValue] = [:]) throws -> String {
    try folder.write("a/env", from, mode: 0o640)
    if let to { try folder.write("b/env", to, mode: 0o600) }
    let harness = try Harness(
      product: "env-file", provider: "env-file", folder: folder, from: ["file": .string(folder("a/env"))],
      to: ["file": .string(folder("b/env"))], keys: keys)
    let manifest: JSONValue = ["name": "m", "digest": "0", "mode": .string(mode)]
    for side in Side.allCases { #expect(try harness.call(side, .check)["notices"]?.array?.isEmpty == true) }
    try harness.prepare(manifest)
    try harness.pass()
    try harness.pass(final: true)
    #expect(try harness.digest(.source) == harness.digest(.destination))
    for _ in 0..<2 { try harness.call(.destination, .activate) }
    let result = try folder.read("b/env")
    let active = try harness.digest(.destination, full: true, target: "active")
    #expect(try active == harness.digest(.source))
    harness.killBoth()
    try harness.call(.destination, .deactivate)
    #expect(Files.exists(folder("b/env")) == (to != nil))
    if let to { #expect(try folder.read("b/env") == to) }
    try harness.call(.destination, .activate)
    try harness.call(.destination, .release)
    #expect(Files.names(in: folder("b")) == ["env"])
    #expect(!harness.log.contains("secret"))
    return result
  }

  static let source = "# who\nMODULE_UUID=one\n\nA=1\nexport odd\nWORD='two\nlines'\nB=secret # no comment\nPORT=1\n"

  @Test("a file that is not there yet arrives to the byte, with its mode")
  func fresh() throws {
    #expect(try move(Self.source, onto: nil) == Self.source)
    var status = stat()
    #expect(stat(folder("b/env"), &status) == 0 && status.st_mode & 0o777 == 0o640)
  }

  @Test("missing: what the destination has stays, and what it lacks comes behind it")
  func missing() throws {
    let result = try move(
      Self.source, onto: "# mine\nA=own\nC=3", keys: ["merge": "missing", "never": ["PORT"], "identity": ["MODULE_UUID"]])
    #expect(result == "# mine\nA=own\nC=3\nWORD='two\nlines'\nB=secret # no comment\n")
  }

  @Test("missing, with nothing missing, is no empty state")
  func nothingMissing() throws {
    #expect(try move("A=1\n", onto: "A=2\n", keys: ["merge": "missing"]) == "A=2\n")
  }

  @Test(
    "an identity follows in a move, over the destination's own, and stays in a copy", arguments: ["move", "copy"], ["missing", "replace"])
  func identity(_ mode: String, _ merge: String) throws {
    let result = try move(
      "MODULE_UUID=one\nA=1\n", onto: "MODULE_UUID=two\n", mode: mode, keys: ["merge": .string(merge), "identity": ["MODULE_UUID"]])
    #expect(result == "MODULE_UUID=\(mode == "move" ? "one" : "two")\nA=1\n")
  }

  @Test("replace: the source's file, but what never travels is the destination's own")
  func replace() throws {
    let result = try move(Self.source, onto: "PORT=99\nGONE=1\nHOST=b\n", keys: ["never": ["PORT", "HOST"]])
    #expect(result == Self.source.replacing("PORT=1\n", with: "PORT=99\n") + "HOST=b\n")
  }

  @Test("a quoted value and a backslash join lines for systemd, and not for podman")
  func dialects() throws {
    let text = "A=\"x\nB=y\"\nC=one\\\nD=two\nE='it''s\\'\nF=1'\nG=a\\\\\nH=1"
    #expect(EnvironmentText(Array(text.utf8), dialect: .systemd).names == ["A", "C", "E", "G", "H"])
    #expect(EnvironmentText(Array(text.utf8), dialect: .podman).names == ["A", "B", "C", "D", "E", "F", "G", "H"])
    for dialect in [EnvironmentText.Dialect.systemd, .podman] {
      #expect(EnvironmentText(Array(text.utf8), dialect: dialect).bytes == Array(text.utf8))
    }
  }

  @Test("of a variable that stands there twice the last counts, and bytes that are no text are carried")
  func odd() throws {
    let one = EnvironmentText(Array("A=1\nA=2\nX=".utf8) + [0xff, 0xfe], dialect: .systemd)
    let merged = EnvironmentText([], dialect: .systemd).merged(from: one, replacing: false, excluded: [])
    #expect(merged.bytes == Array("A=2\nX=".utf8) + [0xff, 0xfe])
    #expect(EnvironmentText(Array("1A=1\n=x\nA B=1\n#C=1\nnothing".utf8), dialect: .systemd).names == [])
  }

  @Test("the READMEs have every key of the schemas, and no other", arguments: ["EnvFile", "SystemdUnits"])
  func documents(_ plugin: String) throws {
    let text = plugin == "EnvFile" ? EnvFileConfig.schema : Documented.units
    let known = Set(try JSONValue(parsing: text)["properties"]?.object?.keys.filter { !["from", "to"].contains($0) } ?? [])
    var said: Set<String> = []
    for line in try String(decoding: Files.read("\(Products.repository)/Plugins/\(plugin)/README.md"), as: UTF8.self).split(separator: "\n")
    where line.hasPrefix("| `") {
      said.insert(String(line.split(separator: "`")[1]))
    }
    #expect(said.filter { !$0.contains(".") } == known)
  }
}

extension String {
  fileprivate func replacing(_ part: String, with other: String) -> String {
    split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
  }
}
