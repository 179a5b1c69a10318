/// What a descriptor says against what it says elsewhere: functions that lead to each other, abilities that belong together. What stands in
/// steps is `NativeStepChecker`'s.
struct DescriptorChecker {
  let root: Node
  let descriptor: PluginDescriptor
  let findings: Findings

  func check() {
    for entry in root["functions"]?.entries ?? [] {
      if let function = descriptor.functions[entry.key] { check(function, entry) }
    }
    for entry in root["callbacks"]?.entries ?? [] {
      if let callback = descriptor.callbacks[entry.key] { NativeStepChecker(descriptor, findings).check(callback) }
    }
    for oneOff in descriptor.oneOffs.values { NativeStepChecker(descriptor, findings).check(oneOff) }
    for node in root["providers"]?.list ?? [] {
      if let provider = descriptor.providers[node["id"]?.text ?? ""] { check(provider, node) }
    }
  }

  // MARK: Functions

  private func check(_ function: PluginDescriptor.Function, _ entry: Node.Entry) {
    let node = entry.value
    let name = quoted(function.name)
    func complain(_ key: String, _ message: String, _ suggestion: String? = nil, hint: String = "") {
      findings.add(.meaning, node[key]?.mark ?? entry.keyMark, message, suggestion: suggestion, hint: hint)
    }
    if function.name == NativeStepChecker.buffer {
      complain("", "\(name) is a word of Ferry's own", hint: "choose another key, and name the function under 'symbol'")
    }
    if function.returns != .void, node["success"] == nil {
      complain(
        "returns", "\(name) returns \(node["returns"]?.text ?? "") but has no 'success'",
        hint: "say how the result tells that it worked; 'any' if it cannot fail")
    }
    if !function.success.fits(function.returns) {
      complain("success", "'\(function.success.rawValue)' says nothing of what \(name) returns: \(node["returns"]?.text ?? "void")")
    }
    if !function.ends.isEmpty, !function.returns.isWhole { complain("ends", "only a whole number can say that there is no more") }
    if let variadic = function.variadic {
      if variadic == function.arguments.count { complain("variadic", "\(name) has nothing before its variadic arguments; C needs one") }
      for (argument, node) in zip(function.arguments.suffix(variadic), node["variadic"]?.entries ?? []) where argument.type.isPromoted {
        let meant = node.value.text?.hasPrefix("u") == true ? "uint32" : "int32"
        findings.add(
          .meaning, node.value.mark, "\(quoted(argument.name)) is passed as 32 bits: C widens what is variadic", suggestion: meant)
      }
    }
    for (index, argument) in function.arguments.enumerated()
    where function.arguments[..<index].contains(where: { $0.name == argument.name }) {
      complain("variadic", "\(name) has two arguments \(quoted(argument.name))")
    }
    checkFree(function, complain)
    if case .call(let call) = function.error { checkError(call, of: function) }
  }

  private func checkFree(
    _ function: PluginDescriptor.Function, _ complain: (String, String, String?, String) -> Void
  ) {
    guard let free = function.free else { return }
    guard let found = descriptor.functions[free] else {
      let near = Suggestion.nearest(to: free, in: Array(descriptor.functions.keys))
      return complain("free", "there is no function \(quoted(free))", near, "")
    }
    if found.arguments.map(\.type) != [.pointer] { complain("free", "\(quoted(free)) does not take one pointer", nil, "") }
    if function.returns != .pointer, !function.arguments.contains(where: { $0.type == .out(.pointer) }) {
      complain("free", "\(quoted(function.name)) gives no pointer that could be let go of", nil, "")
    }
  }

  private func checkError(_ call: NativeStep.Call, of function: PluginDescriptor.Function) {
    guard let found = descriptor.functions[call.function.text] else {
      let near = Suggestion.nearest(to: call.function.text, in: Array(descriptor.functions.keys))
      return findings.add(.meaning, call.function.mark, "there is no function \(quoted(call.function.text))", suggestion: near)
    }
    guard found.returns == .cstring else {
      return findings.add(.meaning, call.function.mark, "\(quoted(found.name)) does not return words: its 'returns' is no cstring")
    }
    var names = Dictionary(function.arguments.compactMap { argument in argument.type.kind.map { (argument.name, $0) } }) { first, _ in first
    }
    names["result"] = function.returns.kind
    NativeStepChecker(descriptor, findings).check(call, names: names)
  }

  // MARK: Providers

  private func check(_ provider: PluginDescriptor.Provider, _ node: Node) {
    let given = Set(provider.abilities.keys)
    if provider.place != nil {
      for call in ProviderCall.placed where given.contains(call) {
        findings.add(
          .meaning, node.entry(call.rawValue)?.keyMark ?? node.mark, "'\(call.rawValue)' is Ferry's own where there is a 'state'",
          hint: "leave it out, or leave 'state' out and do all of it")
      }
    }
    let needed = provider.place == nil ? ProviderCall.unplaced : [.transfer, .receive, .digest]
    let missing = needed.filter { !given.contains($0) }.map { "'\($0.rawValue)'" }
    if !missing.isEmpty {
      findings.add(
        .meaning, ShapeChecker.head(node),
        "provider \(quoted(provider.id)) keeps only a part of the contract: it lacks \(missing.joined(separator: ", ", last: " and "))",
        hint: provider.place == nil ? "where there is nothing to do, write []; with a 'state' Ferry does what comes after transfer" : "")
    }
    for (one, other) in [(ProviderCall.freeze, ProviderCall.thaw), (.thaw, .freeze)] where given.contains(one) && !given.contains(other) {
      findings.add(.meaning, node.entry(one.rawValue)?.keyMark ?? node.mark, "'\(one.rawValue)' is there without '\(other.rawValue)'")
    }
    var checker = NativeStepChecker(descriptor, findings)
    checker.keep = provider.keep
    do {
      let schema = ShapeChecker.untyped(node["schema"] ?? Node(content: .map([]), mark: node.mark))
      checker.config = try Shape(jsonSchema: schema)
    } catch {
      findings.add(
        .meaning, node.entry("schema")?.keyMark ?? node.mark, "the schema cannot be used: \(FerryError.wrap(error).message)")
    }
    if let place = provider.place { checker.check(path: place.path) }
    for call in ProviderCall.descriptorAbilities {
      if let steps = provider.abilities[call] { checker.check(steps, of: call, hasPlace: provider.place != nil) }
    }
  }
}

extension PluginDescriptor.Success {
  /// Whether the rule says anything of a type.
  fileprivate func fits(_ type: NativeType) -> Bool {
    switch self {
    case .any, .errno: true
    case .zero, .nonzero: type.isWhole
    case .nonnegative, .positive: type.isWhole && type.isSigned || type == .double
    case .nonnull: type == .pointer || type == .cstring
    }
  }
}

extension NativeType {
  var isWhole: Bool { if case .int = self { true } else { false } }
  fileprivate var isSigned: Bool { if case .int(_, signed: true) = self { true } else { false } }
}
