import Ferry
import FerrySystem
import Glibc

/// What a provider's file keeps of docs/abi.md, check by check.
public struct ConformanceReport: Sendable, Codable {
  /// One check.
  public struct Line: Sendable, Codable {
    /// The sentence that it proves.
    public var check: String
    /// The rule in docs/abi.md, by the words that it begins with.
    public var rule: String
    /// What is wrong; empty if nothing is.
    public var complaints: [String]
  }

  /// The provider.
  public var provider: String
  /// In the order of a run.
  public var lines: [Line]
  /// Whether nothing is wrong.
  public var isGood: Bool { lines.allSatisfy(\.complaints.isEmpty) }

  /// Runs the kit over a provider whose state is a folder or a file; nil if its schema does not tell which. `keys` are the item's other keys.
  public static func run(_ plugin: PluginFile, _ provider: ProviderDescription, executable: String, keys: [String: JSONValue]) throws
    -> ConformanceReport?
  {
    let known = provider.schema["properties"]
    var end = known?["from"]
    if let name = end?["$ref"]?.string, name.hasPrefix("#/$defs/") { end = provider.schema["$defs"]?[String(name.dropFirst(8))] }
    let kinds: [(key: String, kind: FileSubject.Kind)] = [("path", .folder), ("file", .file)]
    guard let (key, kind) = kinds.first(where: { end?["properties"]?[$0.key] != nil }) else { return nil }
    var keys = keys
    if keys["replace"] == nil, known?["replace"] != nil { keys["replace"] = true }
    var lines: [Line] = []
    for check in ConformanceCheck.all {
      let folder = try Files.makeOwnFolder("/tmp/ferry-kit", orSay: "cannot make a temporary folder")
      defer { try? Files.remove(folder) }
      let complaints = check.run {
        try FileSubject(
          kind, key: key, folder: folder, executable: executable, plugin: plugin, provider: provider.id, keys: keys, knowsSHA256: false)
      }
      lines.append(Line(check: check.name, rule: check.rule.rawValue, complaints: complaints))
    }
    return ConformanceReport(provider: provider.id, lines: lines)
  }

  /// For people: a line a check, and below it what is wrong and whose rule it is.
  public var text: String {
    lines.map { line in
      if line.complaints.isEmpty { return "  kept    \(line.check)" }
      let said = line.complaints.map { "\n            \($0)" }.joined()
      return "  broken  \(line.check)\(said)\n            the rule is '\(line.rule)' in docs/abi.md"
    }.joined(separator: "\n")
  }
}
