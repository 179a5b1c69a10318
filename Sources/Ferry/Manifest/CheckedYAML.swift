import FerrySystem

/// YAML that a JSON Schema describes, read as a manifest is: all that is wrong is told at once, each at its place.
public enum CheckedYAML {
  /// The value, with the schema's defaults. `file` is its name in messages, `place` what they call its top level: "the specimen".
  public static func read(_ text: [UInt8], file: String, schema: JSONValue, as place: String) throws -> JSONValue {
    let findings = Findings()
    var source = ManifestSource(file: file, bytes: text)
    var value = JSONValue.null
    if let root = YAMLReader.read(text, source: source, findings: findings) {
      source.isOpaque = false
      value = ShapeChecker(findings: findings).value(root, try Shape(jsonSchema: schema), at: place)
    }
    guard !findings.hasErrors else { throw ManifestErrors(diagnostics: findings.diagnostics(in: source)).ferryError }
    return value
  }
}
