import CCrypto
import FerrySystem

extension Manifest {
  /// Reads a manifest file.
  ///
  /// - Parameters:
  ///   - path: the file; relative paths inside it start at its folder.
  ///   - parameters: the values given with `--set`.
  ///   - providers: the plugins that there are.
  /// - Throws: `FerryError` if the file cannot be read, `ManifestErrors` with all that is wrong in it.
  public static func load(path: String, parameters: [String: String] = [:], providers: ProviderSchemas) throws -> Manifest {
    let text = try Files.read(path)
    return try parse(
      text: text, file: path, folder: Files.parent(of: Files.absolute(path)), parameters: parameters, providers: providers)
  }

  /// Reads a manifest from memory. `file` is its name in messages, `folder` where its relative paths start.
  public static func parse(
    text: [UInt8], file: String, folder: String, parameters: [String: String] = [:], providers: ProviderSchemas
  ) throws -> Manifest {
    let loader = ManifestLoader(text: text, file: file, folder: folder, given: parameters, providers: providers)
    var manifest = loader.manifest()
    let diagnostics = loader.findings.diagnostics(in: loader.source)
    guard !loader.findings.hasErrors, manifest != nil else { throw ManifestErrors(diagnostics: diagnostics) }
    manifest?.warnings = diagnostics
    guard let manifest else { throw FerryError(.internal, "a manifest without errors was not built") }
    return manifest
  }

  /// Parameters from texts like `name=value`. Throws `invalid` for one that is none, and for a name that is given twice.
  public static func parameters(_ texts: [String]) throws -> [String: String] {
    var parameters: [String: String] = [:]
    for text in texts {
      guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
        throw FerryError(.invalid, "'\(text)' is not name=value")
      }
      let name = String(text[..<equals])
      guard parameters.updateValue(String(text[text.index(after: equals)...]), forKey: name) == nil else {
        throw FerryError(.invalid, "'\(name)' is given twice")
      }
    }
    return parameters
  }
}

/// The way of a manifest: text → nodes → parameters filled in → held against the table → the typed model and its own rules.
final class ManifestLoader {
  let findings = Findings()
  private(set) var source: ManifestSource
  /// What was held against the published schema, for the test that does the same with another validator.
  private(set) var typed: JSONValue = .null
  /// The same for each item and its provider's schema.
  private(set) var configs: [ItemChecker.Checked] = []

  private let text: [UInt8]
  private let folder: String
  private let given: [String: String]
  private let providers: ProviderSchemas

  init(text: [UInt8], file: String, folder: String, given: [String: String], providers: ProviderSchemas) {
    self.text = text
    self.folder = folder
    self.given = given
    self.providers = providers
    source = ManifestSource(file: file, bytes: text)
  }

  /// The manifest; nil, with findings, if there is none to be had.
  func manifest() -> Manifest? {
    guard let written = YAMLReader.read(text, source: source, findings: findings) else { return nil }
    source.hideSecrets(of: written)
    source.isOpaque = false

    var parameters = ParameterTable(written, given: given, source: source, findings: findings)
    let tree = parameters.fill(written)
    typed = ShapeChecker(findings: findings).value(tree, ManifestSchema.root, at: ManifestSchema.place)
    guard tree.isMap else { return nil }

    let items = ItemChecker(providers: providers, findings: findings)
    configs = (tree["state"]?.list ?? []).enumerated().map { items.check($1, number: $0 + 1) }
    ManifestRules(tree: tree, typed: typed, configs: configs, findings: findings).check()
    if findings.hasErrors { return nil }
    let builder = ManifestBuilder(tree: tree, typed: typed, configs: configs, file: source.file, folder: folder, findings: findings)
    return builder.build(parameters: parameters.values, digest: digest(parameters.values))
  }

  private func digest(_ values: [String: String]) -> String {
    var bytes = text
    for (name, value) in values.sorted(by: { $0.key < $1.key }) {
      // A NUL stands in no manifest, so nothing else has these bytes.
      bytes += [0] + Array(name.utf8) + [0] + Array(value.utf8)
    }
    var digest = [UInt8](repeating: 0, count: 32)
    guard EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) == 1 else { return "" }
    return digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
