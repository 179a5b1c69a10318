import FerrySystem

/// The way of a descriptor: text → nodes → held against the table → the typed model. `DescriptorChecker` then looks at what it means.
struct DescriptorReader {
  let findings: Findings
  let file: PluginFile

  /// Reads a descriptor whose library is not looked at: throws all that is wrong in the text, located.
  static func read(_ text: [UInt8], _ file: PluginFile) throws -> PluginDescriptor {
    let findings = Findings()
    var source = ManifestSource(file: file.path, bytes: text, noun: "descriptor")
    let reader = DescriptorReader(findings: findings, file: file)
    var descriptor: PluginDescriptor?
    if let root = YAMLReader.read(text, source: source, findings: findings) {
      source.isOpaque = false
      descriptor = reader.descriptor(root)
    }
    guard let descriptor, !findings.hasErrors else { throw ManifestErrors(diagnostics: findings.diagnostics(in: source)).ferryError }
    return descriptor
  }

  /// The model, checked against itself and its libraries; nil if there is none to be had.
  private func descriptor(_ root: Node) -> PluginDescriptor? {
    let typed = ShapeChecker(findings: findings).value(root, DescriptorSchema.root, at: DescriptorSchema.place)
    // What follows would stumble over the same mistakes again.
    guard root.isMap, !findings.hasErrors else { return nil }
    let library = resolve(typed["library"]?.string ?? "")
    let functions = (root["functions"]?.entries ?? []).compactMap { function($0, typed["functions"]?[$0.key] ?? [:], library) }
    let callbacks = (root["callbacks"]?.entries ?? []).map { callback($0, typed["callbacks"]?[$0.key] ?? [:]) }
    let nodes = root["providers"]?.list ?? []
    let providers = zip(nodes, typed["providers"]?.array ?? []).map { provider($0, $1) }
    var module = PluginModule(
      name: typed["name"]?.string ?? "", version: typed["version"]?.string ?? "", vendor: typed["vendor"]?.string ?? "", abiMinor: 0,
      providers: providers.map(\.description))
    let oneOffs = (root["calls"]?.entries ?? []).map { entry in
      (entry.key, PluginDescriptor.OneOff(values: arguments(entry.value["with"]), steps: steps(entry.value["steps"])))
    }
    module.calls = oneOffs.isEmpty ? nil : oneOffs.map(\.0)
    for (index, provider) in providers.enumerated() where providers[..<index].contains(where: { $0.provider.id == provider.provider.id }) {
      findings.add(.meaning, nodes[index].mark, "there are two providers \(quoted(provider.provider.id))")
    }
    let descriptor = PluginDescriptor(
      module: module, functions: Dictionary(functions.map { ($0.name, $0) }) { first, _ in first },
      callbacks: Dictionary(callbacks.map { ($0.name, $0) }) { first, _ in first },
      oneOffs: Dictionary(oneOffs) { first, _ in first },
      providers: Dictionary(providers.map { ($0.provider.id, $0.provider) }) { first, _ in first })
    DescriptorChecker(root: root, descriptor: descriptor, findings: findings).check()
    LibraryChecker(root: root, descriptor: descriptor, findings: findings).check()
    return descriptor
  }

  /// A path starts at the descriptor; a name alone is the loader's to find.
  private func resolve(_ library: String) -> String {
    library.contains("/") ? Files.absolute(library, in: Files.parent(of: file.path)) : library
  }

  // MARK: Functions

  private func function(_ entry: Node.Entry, _ typed: JSONValue, _ library: String) -> PluginDescriptor.Function {
    let node = entry.value
    let fixed = arguments(node["arguments"])
    let variadic = node["variadic"].map { arguments($0) }
    var function = PluginDescriptor.Function(
      name: entry.key, symbol: typed["symbol"]?.string ?? entry.key, library: typed["library"]?.string.map(resolve) ?? library,
      arguments: fixed + (variadic ?? []), variadic: variadic?.count)
    function.returns = NativeType(typed["returns"]?.string ?? "void") ?? .void
    function.success = typed["success"]?.string.flatMap { PluginDescriptor.Success(rawValue: $0) } ?? .any
    function.ends = typed["ends"]?.array?.compactMap(\.int) ?? []
    function.class = typed["class"]?.string.flatMap { ErrorClass(rawValue: $0) } ?? .io
    function.hint = typed["hint"]?.string ?? ""
    function.free = typed["free"]?.string
    if let error = node["error"] {
      function.error = error.text == "errno" ? .errno : attempt { .call(try NativeStepParser.call(error).call) }
    } else if function.success == .errno {
      function.error = .errno
    }
    return function
  }

  private func arguments(_ node: Node?) -> [PluginDescriptor.Argument] {
    (node?.entries ?? []).map { PluginDescriptor.Argument(name: $0.key, type: NativeType($0.value.text ?? "") ?? .pointer) }
  }

  private func callback(_ entry: Node.Entry, _ typed: JSONValue) -> PluginDescriptor.Callback {
    let node = entry.value
    func value(_ key: String) -> NativeStep.Expression? { node[key].flatMap { node in attempt { try NativeStepParser.expression(node) } } }
    return PluginDescriptor.Callback(
      name: entry.key, arguments: arguments(node["arguments"]), returns: NativeType(typed["returns"]?.string ?? "void") ?? .void,
      steps: steps(node["steps"]), result: value("result"), failed: value("failed"))
  }

  // MARK: Providers

  private func provider(_ node: Node, _ typed: JSONValue) -> (provider: PluginDescriptor.Provider, description: ProviderDescription) {
    var place: PluginDescriptor.Place?
    for kind in [PluginDescriptor.Place.Kind.folder, .file] {
      guard let path = node["state"]?[kind.rawValue], let expression = attempt({ try NativeStepParser.expression(path) }) else { continue }
      place = PluginDescriptor.Place(kind: kind, path: expression)
    }
    let id = typed["id"]?.string ?? ""
    var provider = PluginDescriptor.Provider(
      id: id, place: place, keep: Set(typed["keep"]?.array?.compactMap(\.string) ?? []), abilities: [:])
    for call in ProviderCall.descriptorAbilities {
      if let steps = node[call.rawValue] { provider.abilities[call] = self.steps(steps) }
    }
    let schema = node["schema"].map(ShapeChecker.untyped) ?? [:]
    return (provider, ProviderDescription(id: id, summary: typed["summary"]?.string ?? "", schema: schema))
  }

  // MARK: Steps

  private func steps(_ node: Node?) -> [NativeStep] {
    // A list inside a list is one that an alias has put there.
    (node?.list ?? []).flatMap { (node: Node) -> [NativeStep] in
      switch node.content {
      case .list: return steps(node)
      case .scalar: return [attempt { try NativeStepParser.step(node) }].compactMap { $0 }
      case .map: return [block(node)].compactMap { $0 }
      case .broken: return []
      }
    }
  }

  private func block(_ node: Node) -> NativeStep? {
    let known = DescriptorSchema.blocks + ["do"]
    for entry in node.entries where !known.contains(entry.key) {
      findings.add(
        .shape, entry.keyMark, "unknown key \(quoted(entry.key)) in a step", suggestion: Suggestion.nearest(to: entry.key, in: known),
        hint: "a step is a text, or a map of 'do' with one of \(DescriptorSchema.blocks.joined(separator: ", "))")
    }
    let heads = node.entries.filter { DescriptorSchema.blocks.contains($0.key) }
    guard heads.count == 1, let body = node["do"], case .list = body.content else {
      if node.entries.allSatisfy({ known.contains($0.key) }) {
        findings.add(.shape, ShapeChecker.head(node), "a step needs 'do', a list, with one of 'while', 'if' and 'in'")
      }
      return nil
    }
    let inner = steps(body)
    return attempt {
      switch heads[0].key {
      case "while":
        let (call, into) = try NativeStepParser.call(heads[0].value)
        return .loop(call, into: into, inner)
      case "if": return .when(try NativeStepParser.expression(heads[0].value), inner)
      default: return .inside(try NativeStepParser.expression(heads[0].value), inner)
      }
    }
  }

  private func attempt<Value>(_ work: () throws -> Value) -> Value? {
    do { return try work() } catch let problem as NativeStepParser.Problem {
      findings.add(.shape, problem.mark, problem.message, hint: problem.hint)
    } catch {
      findings.add(.shape, .start, FerryError.wrap(error).message)
    }
    return nil
  }
}
