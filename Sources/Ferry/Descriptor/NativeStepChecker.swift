/// Steps against the functions that they call and the names that they use, before anything runs.
struct NativeStepChecker {
  /// What a name can stand for.
  enum Kind { case number, real, text, pointer, buffer, any }

  /// The one function that is Ferry's: memory for a library to read and write.
  static let buffer = "buffer"
  /// What the host adds up and answers.
  static let counters = ["bytes", "entries", "changed", "room"]

  private let descriptor: PluginDescriptor
  private let findings: Findings
  /// The shape of an item's keys; nil where nobody knows which provider's.
  var config: Shape?
  var keep: Set<String> = []

  init(_ descriptor: PluginDescriptor, _ findings: Findings) {
    self.descriptor = descriptor
    self.findings = findings
  }

  private static let everywhere: [String: Kind] = {
    var names: [String: Kind] = ["item": .text, "run": .text, "folder": .text, "source": .number]
    for counter in counters { names[counter] = .number }
    return names
  }()

  /// What some abilities are given beside that.
  private static let given: Set<String> = ["channel", "pass", "final", "digest", "state"]

  /// An ability's steps.
  func check(_ steps: [NativeStep], of call: ProviderCall, hasPlace: Bool) {
    var names = Self.everywhere
    for name in keep { names[name] = .any }
    if call == .transfer || call == .receive { names.merge(["channel": .number, "pass": .number, "final": .number]) { $1 } }
    if call == .digest { names["digest"] = .number }
    if hasPlace { names["state"] = .text }
    walk(steps, &names)
  }

  /// A callback: it sees its own arguments and what holds everywhere.
  func check(_ callback: PluginDescriptor.Callback) {
    var names = Self.everywhere
    for argument in callback.arguments { names[argument.name] = argument.type.kind }
    walk(callback.steps, &names)
    for value in [callback.result, callback.failed].compactMap({ $0 }) { fit(value, callback.returns, "the result", names) }
  }

  /// What belongs to no item: it sees what its caller gives.
  func check(_ oneOff: PluginDescriptor.OneOff) {
    var names = Dictionary(oneOff.values.compactMap { value in value.type.kind.map { (value.name, $0) } }) { first, _ in first }
    for counter in Self.counters { names[counter] = .number }
    walk(oneOff.steps, &names)
  }

  /// A call that gives an error its words.
  func check(_ call: NativeStep.Call, names: [String: Kind]) {
    var names = names
    _ = kind(of: call, &names)
  }

  /// The value that has a path.
  func check(path: NativeStep.Expression) { fit(path, .cstring, "the path", Self.everywhere) }

  private func walk(_ steps: [NativeStep], _ names: inout [String: Kind]) {
    for step in steps {
      switch step {
      case .call(let call, let into): assign(kind(of: call, &names), to: into, &names)
      case .assign(let name, let adds, let value):
        let kind = kind(of: value, names)
        if adds {
          if let kind, kind != .number && kind != .any { findings.add(.meaning, value.mark, "only a number can be added") }
          if names[name.text] == nil { unknown(name, names) }
        } else {
          assign(kind ?? .any, to: name, &names)
        }
      case .loop(let call, let into, let body):
        let kind = kind(of: call, &names)
        if let function = descriptor.functions[call.function.text], function.ends.isEmpty {
          findings.add(
            .meaning, call.function.mark, "\(quoted(function.name)) cannot be repeated: it has no 'ends', so nothing says when to stop")
        }
        assign(kind, to: into, &names)
        walk(body, &names)
      case .when(let value, let body), .inside(let value, let body):
        if case .inside = step { fit(value, .cstring, "the folder", names) } else { _ = self.kind(of: value, names) }
        walk(body, &names)
      }
    }
  }

  private func assign(_ kind: Kind?, to name: NativeStep.Name?, _ names: inout [String: Kind]) {
    guard let name else { return }
    guard let kind else {
      return findings.add(.meaning, name.mark, "there is nothing to call \(quoted(name.text)): the function returns nothing")
    }
    if name.text.contains(".") && !name.text.hasPrefix("kv.") {
      return findings.add(
        .meaning, name.mark, "\(quoted(name.text)) cannot be set", hint: "only names of your own, the counters and 'kv.NAME'")
    }
    let isCounter = Self.counters.contains(name.text)
    if isCounter && kind != .number && kind != .any {
      return findings.add(.meaning, name.mark, "\(quoted(name.text)) is a counter, and this is \(kind.words)")
    }
    if !isCounter, Self.everywhere[name.text] != nil || Self.given.contains(name.text) {
      return findings.add(.meaning, name.mark, "\(quoted(name.text)) is a name of Ferry's own", hint: "choose another name")
    }
    names[name.text] = kind
  }

  // MARK: Calls

  /// What a call answers; nil: nothing.
  private func kind(of call: NativeStep.Call, _ names: inout [String: Kind]) -> Kind? {
    if call.function.text == Self.buffer {
      if call.arguments.count == 1, case .value(let size) = call.arguments[0] {
        fit(size, .int(bits: 32, signed: true), "the size", names)
      } else {
        findings.add(.meaning, call.function.mark, "'buffer' takes one number: how many bytes")
      }
      return .buffer
    }
    guard let function = descriptor.functions[call.function.text] else {
      let near = Suggestion.nearest(to: call.function.text, in: Array(descriptor.functions.keys) + [Self.buffer])
      findings.add(
        .meaning, call.function.mark, "there is no function \(quoted(call.function.text))", suggestion: near,
        hint: near == nil ? "name it under 'functions'" : "")
      return .any
    }
    if call.arguments.count != function.arguments.count {
      let expected = function.arguments.map(\.name).joined(separator: ", ")
      findings.add(
        .meaning, call.function.mark,
        "\(quoted(function.name)) takes \(function.arguments.count) arguments, not \(call.arguments.count)",
        hint: "\(function.name)(\(expected))")
    }
    for (argument, expected) in zip(call.arguments, function.arguments) {
      switch (argument, expected.type) {
      case (.out(let name), .out(let type)): assign(type.kind, to: name, &names)
      case (.out(let name), _):
        findings.add(.meaning, name.mark, "\(quoted(expected.name)) of \(quoted(function.name)) gives nothing: leave the '&' out")
      case (.value(let value), .out):
        findings.add(
          .meaning, value.mark, "\(quoted(expected.name)) of \(quoted(function.name)) is where it puts a value: write '&' and a name")
      case (.value(let value), .callback): checkCallback(value)
      case (.value(let value), let type): fit(value, type, "\(quoted(expected.name)) of \(quoted(function.name))", names)
      }
    }
    return function.returns.kind
  }

  private func checkCallback(_ value: NativeStep.Expression) {
    if case .null = value.kind { return }
    guard case .name(let path) = value.kind else { return findings.add(.meaning, value.mark, "a callback's name was expected here") }
    let name = path.joined(separator: ".")
    guard descriptor.callbacks[name] == nil else { return }
    let near = Suggestion.nearest(to: name, in: Array(descriptor.callbacks.keys))
    findings.add(
      .meaning, value.mark, "there is no callback \(quoted(name))", suggestion: near, hint: near == nil ? "name it under 'callbacks'" : "")
  }

  // MARK: Values

  private func fit(_ value: NativeStep.Expression, _ type: NativeType, _ place: String, _ names: [String: Kind]) {
    guard let kind = kind(of: value, names) else { return }
    if case .number(let number) = value.kind, type.isWhole, !type.holds(number) {
      return findings.add(.meaning, value.mark, "\(number) is no \(type.words), which \(place) is")
    }
    if !type.takes(kind) { findings.add(.meaning, value.mark, "\(place) is \(type.words), and this is \(kind.words)") }
  }

  /// nil: it was complained about.
  private func kind(of value: NativeStep.Expression, _ names: [String: Kind]) -> Kind? {
    switch value.kind {
    case .number: return .number
    case .real: return .real
    case .null: return .pointer
    case .text(let parts):
      for case .value(let inner) in parts { _ = kind(of: inner, names) }
      return .text
    case .slice(let name, let count):
      fit(count, .int(bits: 64, signed: true), "the length", names)
      guard let known = names[name.text] else { return unknown(name, names) }
      guard known == .buffer || known == .any else {
        findings.add(.meaning, name.mark, "\(quoted(name.text)) is no buffer")
        return nil
      }
      return .buffer
    case .name(let path):
      if path.count == 1 { return names[path[0]] ?? unknown(NativeStep.Name(text: path[0], mark: value.mark), names) }
      switch path[0] {
      case "secrets" where path.count == 2: return .text
      case "kv" where path.count == 2: return .any
      case "endpoint", "config": return configured(path, value.mark)
      default:
        let near = Suggestion.nearest(to: path[0], in: ["endpoint", "config", "secrets", "kv"])
        findings.add(
          .meaning, value.mark, "there is no value \(quoted(path.joined(separator: ".")))",
          suggestion: near.map { ([$0] + path.dropFirst()).joined(separator: ".") },
          hint: "there are endpoint.KEY, config.KEY, secrets.NAME and kv.NAME")
        return nil
      }
    }
  }

  @discardableResult private func unknown(_ name: NativeStep.Name, _ names: [String: Kind]) -> Kind? {
    let near = Suggestion.nearest(to: name.text, in: Array(names.keys))
    findings.add(
      .meaning, name.mark, "there is no value \(quoted(name.text)) here", suggestion: near,
      hint: near == nil ? "there are \(names.keys.sorted().joined(separator: ", "))" : "")
    return nil
  }

  /// A value of the item's keys, looked up in the provider's schema.
  private func configured(_ path: [String], _ mark: Mark) -> Kind? {
    guard var shape = config else { return .any }
    var rest = path.dropFirst()
    if path[0] == "endpoint" { rest = ["from"] + rest }
    var walked = [path[0]]
    for (index, key) in rest.enumerated() {
      guard case .record(let record) = shape.kind else { return .any }
      guard let next = record.field(key)?.shape ?? record.rest else {
        let near = Suggestion.nearest(to: key, in: record.fields.map(\.key))
        findings.add(
          .meaning, mark, "the schema has no \(quoted(key)) for \(quoted(path.joined(separator: ".")))",
          suggestion: near.map { (walked + [$0]).joined(separator: ".") })
        return nil
      }
      if !(path[0] == "endpoint" && index == 0) { walked.append(key) }
      shape = next
    }
    return switch shape.kind {
    case .bool, .int: .number
    case .number: .real
    case .text: .text
    case .any, .null, .oneOf: .any
    case .list, .record: .text
    }
  }
}

extension NativeType {
  /// What a value of this type is in steps.
  var kind: NativeStepChecker.Kind? {
    switch self {
    case .void: nil
    case .int: .number
    case .double: .real
    case .cstring: .text
    case .pointer: .pointer
    case .buffer: .buffer
    case .callback: .pointer
    case .out(let type): type.kind
    }
  }

  /// Whether a value of that kind can be passed.
  fileprivate func takes(_ kind: NativeStepChecker.Kind) -> Bool {
    switch (self, kind) {
    case (_, .any): true
    case (.int, .number), (.double, .number), (.double, .real): true
    case (.cstring, .text), (.cstring, .pointer), (.pointer, .pointer), (.pointer, .buffer): true
    case (.buffer, .buffer), (.buffer, .text): true
    default: false
    }
  }

  fileprivate var words: String {
    switch self {
    case .void: "nothing"
    case .int(let bits, let signed): "\(signed ? "int" : "uint")\(bits)"
    case .double: "a double"
    case .cstring: "a text"
    case .pointer: "a pointer"
    case .buffer: "a buffer"
    case .callback: "a callback"
    case .out(let type): "where to put \(type.words)"
    }
  }
}

extension NativeStepChecker.Kind {
  fileprivate var words: String {
    switch self {
    case .number: "a whole number"
    case .real: "a number"
    case .text: "a text"
    case .pointer: "a pointer"
    case .buffer: "a buffer"
    case .any: "anything"
    }
  }
}
