import Ferry
import FerrySystem

/// A vendor's own kind of state, told in a YAML file: the item, and commands that make, change, empty and describe its state.
public struct SpecimenFile: Sendable {
  /// What the kit does with a state, each a script for `sh`.
  public enum Script: String, Sendable, CaseIterable {
    case make, change, touch, empty, occupy, look, residue, clean
  }

  /// The provider that it is for.
  public let provider: String
  let item: JSONValue
  let secrets: [String: String]
  let scripts: [Script: String]
  let knowsSHA256: Bool
  let retires: Bool
  let joins: Bool
  let room: (folder: String, kilobytes: Int)?
  /// Where its commands run: relative names start here.
  let folder: String
  private let companion: Companion?
  private let served: JSONValue

  /// Reads one, and starts what it says under `serve`; that ends with this value. Throws all that is wrong in it, each at its place.
  public init(path: String) throws {
    let told = try CheckedYAML.read(Files.read(path), file: path, schema: Self.schema, as: "the specimen")
    provider = told["provider"]?.string ?? ""
    folder = Files.parent(of: Files.absolute(path))
    item = .object(["from": told["from"] ?? [:], "to": told["to"] ?? [:]].merging(told["keys"]?.object ?? [:]) { own, _ in own })
    secrets = (told["secrets"]?.object ?? [:]).compactMapValues(\.string)
    let said = Script.allCases.map { ($0, told[$0.rawValue]?.string ?? "") }
    scripts = Dictionary(uniqueKeysWithValues: said)
    knowsSHA256 = told["sha256"]?.bool ?? true
    retires = told["retires"]?.bool ?? true
    joins = told["joins"]?.bool ?? false
    room = told["room"].map { ($0["folder"]?.string ?? "", Int($0["kilobytes"]?.int ?? 0)) }
    guard let serve = told["serve"]?.string else {
      (companion, served) = (nil, [:])
      return
    }
    var command = Command(["sh", "-euc", serve])
    command.directory = folder
    let companion = try Companion(command, name: "'serve' of \(path)")
    self.companion = companion
    do { served = try JSONValue(parsing: companion.line) } catch {
      throw FerryError(
        .invalid, "'serve' of \(path) said no JSON: \(companion.line.prefix(200))", hint: "one line such as {\"port\": 4000}")
    }
  }

  /// A fresh state below a folder, which is the caller's to remove.
  public func subject(in folder: String, executable: String, plugin: PluginFile) throws -> any ConformanceSubject {
    try ScriptedSubject(self, in: folder, executable: executable, plugin: plugin)
  }

  /// Fills in what stands as `${NAME}` or `${NAME.KEY}` in a text; what nobody knows is left to the shell.
  func fill(_ text: String, _ names: JSONValue) -> String {
    var names = names
    names["serve"] = served
    var result = ""
    var rest = text[...]
    while let start = rest.firstRange(of: "${"), let end = rest[start.upperBound...].firstIndex(of: "}") {
      let name = rest[start.upperBound..<end]
      let value = name.split(separator: ".").reduce(Optional(names)) { $0?[String($1)] }
      result += rest[..<start.lowerBound] + (value.map { $0.string ?? $0.text } ?? "${\(name)}")
      rest = rest[rest.index(after: end)...]
    }
    return result + rest
  }

  /// The same in each text of a value. One that is a number alone is a number.
  func fill(_ value: JSONValue, _ names: JSONValue) -> JSONValue {
    switch value {
    case .string(let text):
      let filled = fill(text, names)
      return filled == text ? value : Int64(filled).map { .int($0) } ?? .string(filled)
    case .array(let values): return .array(values.map { fill($0, names) })
    case .object(let members): return .object(members.mapValues { fill($0, names) })
    default: return value
    }
  }

  /// JSON Schema of the file.
  public static let schema: JSONValue = {
    func text(_ description: String) -> JSONValue { ["type": "string", "minLength": 1, "description": .string(description)] }
    func flag(_ standard: Bool, _ description: String) -> JSONValue {
      ["type": "boolean", "default": .bool(standard), "description": .string(description)]
    }
    let open: JSONValue = ["type": "object", "additionalProperties": true]
    return [
      "type": "object", "additionalProperties": false,
      "required": ["ferry-specimen", "provider", "from", "to", "make", "change", "touch", "empty", "occupy", "look"],
      "properties": [
        "ferry-specimen": ["type": "integer", "enum": [1], "description": "the version of this format: 1"],
        "provider": text("the provider that it is for, as manifests name it"),
        "from": open, "to": open, "keys": open,
        "secrets": [
          "type": "object", "additionalProperties": ["type": "string"], "description": "the item's secrets, in clear: of test servers only",
        ],
        "serve": text(
          "a program that runs while the checks do, and says one line of JSON when it is ready; it ends with its standard input"),
        "make": text("makes the state at the source; the destination has nothing yet"),
        "change": text("changes the content at the source, for each ${number} differently"),
        "touch": text("makes the smallest change at the source, to one entry"),
        "empty": text("leaves nothing in the state at the source, which stays a state"),
        "occupy": text("puts something at the destination that was there before"),
        "look": text("prints what is at ${side}, the same for the same state wherever it is; nothing where there is none"),
        "residue": text("prints what a run has left that is no part of the state"),
        "clean": text("takes away what 'make' has made outside ${folder}"),
        "room": [
          "type": "object", "additionalProperties": false, "required": ["folder", "kilobytes"],
          "description": "where a disk is put that is too small for the state",
          "properties": [
            "folder": text("the folder that the destination is in"),
            "kilobytes": ["type": "integer", "minimum": 16, "description": "less than the state needs"],
          ],
        ],
        "retires": flag(true, "whether retire removes the state"),
        "joins": flag(false, "whether what was at the destination stays beside what arrives"),
        "sha256": flag(true, "whether the provider knows the second digest"),
      ],
    ]
  }()
}
