import FerrySystem

/// Holds a state item's own keys against its provider's schema.
struct ItemChecker {
  let providers: ProviderSchemas
  let findings: Findings

  /// An item's configuration as its provider gets it.
  struct Checked {
    var config: JSONValue = [:]
    /// The schema that it was held against; nil if there was none to be had.
    var schema: JSONValue?
    var isRight = true
  }

  /// The core's keys, which a provider never sees.
  private static let coreKeys: [String] = {
    guard case .record(let record) = ManifestSchema.item.kind else { return [] }
    return record.fields.map(\.key)
  }()

  func check(_ item: Node, number: Int) -> Checked {
    guard item.isMap, let provider = item["provider"], let id = provider.text, !id.isEmpty else { return Checked() }
    let place = ShapeChecker.place(of: item, noun: "state", number: number)
    guard let schema = providers.schema(id) else {
      unknownProvider(id, provider.mark)
      return Checked()
    }
    let record: Shape.Record
    do {
      var known = schema
      known["type"] = "object"
      guard case .record(let parsed) = try Shape(jsonSchema: known).kind else { return Checked() }
      record = parsed
    } catch {
      findings.add(
        .provider, provider.mark, "the schema of provider \(quoted(id)) cannot be used: \(FerryError.wrap(error).message)",
        hint: "that is a mistake in the plugin")
      return Checked()
    }
    return check(item, record, schema, place)
  }

  private func check(_ item: Node, _ written: Shape.Record, _ schema: JSONValue, _ place: String) -> Checked {
    var record = written
    record.alsoKnown = Self.coreKeys
    let ends = ["from", "to"]
    var entries = item.entries.filter { ends.contains($0.key) || !Self.coreKeys.contains($0.key) }
    // That `from` and `to` are maps is the core's rule and already told.
    let strangers = entries.indices.filter { ends.contains(entries[$0].key) && !entries[$0].value.isMap }
    for index in strangers { entries[index].value.content = .broken }
    let hasFrom = item["from"] != nil
    let hasTo = item["to"] != nil
    let head = ShapeChecker.head(item)
    if !hasFrom, record.field("from")?.isRequired != true {
      entries.append(.init(key: "from", keyMark: head, value: Node(content: .map([]), mark: head)))
    }
    // Without `to` the destination is what `from` says, and is held against its own rules below.
    if !hasTo, let index = record.fields.firstIndex(where: { $0.key == "to" }) { record.fields[index].isRequired = false }
    if !hasTo { record.fields = record.fields.map { $0.key == "to" ? $0.withoutDefault : $0 } }
    if record.field("from") == nil { record.fields.append(.key("from", .any, "")) }
    if record.field("to") == nil { record.fields.append(.key("to", .any, "")) }

    let trial = Findings()
    let node = Node(content: .map(entries), mark: item.mark)
    var config = ShapeChecker(findings: trial, kind: .provider).value(node, Shape(.record(record)), at: place)
    trial.all.forEach(findings.add)
    var isRight = trial.all.isEmpty
    let from = entries.first { $0.key == "from" }
    if !hasTo, let from {
      let second = Findings()
      let shape = record.field("to")?.shape ?? .any
      let checker = ShapeChecker(findings: second, kind: .provider)
      config["to"] = checker.value(from.value, shape, at: ShapeChecker.place(ofKey: "to", in: place))
      if isRight, let problem = second.all.first {
        findings.add(
          .provider, from.keyMark, "\(place) needs a 'to' of its own, since its 'from' does not fit there: \(problem.message)",
          suggestion: problem.suggestion, hint: problem.hint)
        isRight = false
      }
    }
    return Checked(config: config, schema: strangers.isEmpty ? schema : Optional.none, isRight: isRight)
  }

  private func unknownProvider(_ id: String, _ mark: Mark) {
    let known = providers.ids.isEmpty ? "no plugin was found" : "there are \(providers.ids.joined(separator: ", "))"
    let places = providers.folders.isEmpty ? "" : "; plugins are looked for in \(providers.folders.joined(separator: ", "))"
    findings.add(
      .provider, mark, "unknown provider \(quoted(id))", suggestion: Suggestion.nearest(to: id, in: providers.ids), hint: known + places)
  }
}

extension Shape.Field {
  fileprivate var withoutDefault: Self {
    var field = self
    field.defaultValue = nil
    return field
  }
}
