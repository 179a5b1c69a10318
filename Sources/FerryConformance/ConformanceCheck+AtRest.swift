import Ferry
import FerrySystem

/// What can be told before a state is touched.
extension ConformanceCheck {
  static let atRest: [ConformanceCheck] = [
    ConformanceCheck("the file loads with every call that is required, and says the same of itself each time", .required) {
      subject, verdict in
      let ends = subject.ends
      let catalog = PluginCatalog(folders: [], lock: nil, executable: ends.executable, cache: nil)
      var modules: [PluginModule] = []
      for _ in 0..<2 {
        let plugin = catalog.plugin(at: ends.plugin.path)
        if let error = plugin.error { return verdict.fails(error.message) }
        if let module = plugin.module { modules.append(module) }
      }
      verdict.expect(modules.count == 2 && modules[0] == modules[1], "the module is not the same when it is asked again")
      verdict.expect(modules.first?.providers.contains { $0.id == ends.provider } == true, "it has no provider '\(ends.provider)'")
    },
    ConformanceCheck("a wrong item is refused by the schema, at its line, before anything is changed", .schema) { subject, verdict in
      let ends = subject.ends
      let catalog = PluginCatalog(folders: [], lock: nil, executable: ends.executable, cache: nil)
      let module = catalog.plugin(at: ends.plugin.path).module
      guard let provider = module?.providers.first(where: { $0.id == ends.provider }) else {
        return verdict.fails("there is no such provider")
      }
      let before = (try subject.look(.source), try subject.look(.destination))
      let right = WrittenItem(provider: provider, keys: ends.item)
      for complaint in right.complaints { verdict.fails("an item that is right is refused: \(complaint)") }
      let mistakes = SchemaMistakes(provider.schema).all(in: .object(ends.item))
      for mistake in mistakes {
        let told = WrittenItem(provider: provider, keys: mistake.item.object ?? [:]).complaints
        verdict.expect(
          told.contains { $0.hasPrefix("\(WrittenItem.file):") && $0.contains(mistake.key) },
          "\(mistake.words) is \(told.isEmpty ? "accepted" : "told without its place: \(told[0])")")
      }
      verdict.expect(mistakes.count >= 3, "the schema describes too little: no mistake can be made")
      try verdict.isBack(subject, before.0, before.1)
    },
  ]
}

/// An item in a manifest, one key a line.
struct WrittenItem {
  static let file = "kit.yaml"
  let provider: ProviderDescription
  let keys: [String: JSONValue]

  /// What a manifest with it is refused for, each with its place.
  var complaints: [String] {
    let head =
      "ferry: 1\nname: kit\nsource: { node: local }\ndestination: { node: local }\nstate:\n  - name: state\n    provider: \(provider.id)\n"
    let lines = keys.sorted { $0.key < $1.key }.map { "    \(JSONValue.string($0.key).text): \($0.value.text)\n" }
    let schema = provider.schema
    do {
      _ = try Manifest.parse(
        text: Array((head + lines.joined()).utf8), file: Self.file, folder: "/", providers: ProviderSchemas([provider.id: schema]))
      return []
    } catch let errors as ManifestErrors {
      // A line and a column are the place; the excerpt shows which key is meant.
      return errors.diagnostics.filter { $0.severity == .error }.map { "\($0.headline) \($0.excerpt)" }
    } catch { return ["\(error)"] }
  }
}
