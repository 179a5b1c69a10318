import Ferry
import FerrySystem
import Glibc

/// What a provider's file keeps of docs/abi.md, check by check.
public struct ConformanceReport: Sendable, Codable {
  /// One check.
  public struct Line: Sendable, Codable {
    /// The sentence that it proves.
    public var check: String
    /// The rule, by its address in the documentation.
    public var rule: String
    /// What is wrong; empty if nothing is.
    public var complaints: [String]
    /// Why it could not be run, if it could not.
    public var notRun: String?
  }

  /// The provider.
  public var provider: String
  /// In the order of a run.
  public var lines: [Line]
  /// Whether nothing is wrong.
  public var isGood: Bool { lines.allSatisfy(\.complaints.isEmpty) }

  /// Runs checks on states that `make` puts into a folder of its own.
  public static func run(
    _ checks: [ConformanceCheck] = ConformanceCheck.all, of provider: String, on make: (_ folder: String) throws -> any ConformanceSubject
  ) throws -> ConformanceReport {
    let lines = try checks.map { check in
      // Sockets that are made below it want a short path.
      let place = try TransientFolder("/tmp/ferry-kit", orSay: "cannot make a temporary folder")
      defer { place.remove() }
      let folder = place.path
      let outcome = check.run { try make(folder) }
      return Line(check: check.name, rule: check.rule.address, complaints: outcome.complaints, notRun: outcome.notRun)
    }
    return ConformanceReport(provider: provider, lines: lines)
  }

  /// For people: a line a check, and below it what is wrong and whose rule it is.
  public var text: String {
    lines.map { line in
      if !line.complaints.isEmpty {
        let said = line.complaints.map { "\n            \($0)" }.joined()
        return "  broken  \(line.check)\(said)\n            the rule: \(line.rule)"
      }
      return line.notRun.map { "  not run \(line.check)\n            \($0)" } ?? "  kept    \(line.check)"
    }.joined(separator: "\n")
  }
}

extension FileSubject {
  /// How states are made for a provider whose `from` is the path of a folder or of a file; nil if its schema tells of neither. `keys` are the
  /// item's other keys.
  public static func maker(_ plugin: PluginFile, _ provider: ProviderDescription, executable: String, keys: [String: JSONValue])
    -> ((_ folder: String) throws -> any ConformanceSubject)?
  {
    let known = provider.schema["properties"]
    var end = known?["from"]
    if let name = end?["$ref"]?.string, name.hasPrefix("#/$defs/") { end = provider.schema["$defs"]?[String(name.dropFirst(8))] }
    let kinds: [(key: String, kind: Kind)] = [("path", .folder), ("file", .file)]
    guard let (key, kind) = kinds.first(where: { end?["properties"]?[$0.key] != nil }) else { return nil }
    var keys = keys
    if keys["replace"] == nil, known?["replace"] != nil { keys["replace"] = true }
    return { [keys] folder in
      try FileSubject(
        kind, key: key, folder: folder, executable: executable, plugin: plugin, provider: provider.id, keys: keys, knowsSHA256: false)
    }
  }
}
