import FerrySystem

/// A descriptor in this process, checked against its libraries. Only a host makes one.
struct DescribedPlugin: HostedPlugin {
  private let binding: NativeBinding

  /// Reads exactly the bytes with that digest.
  init(_ file: PluginFile) throws {
    let text = try Files.read(file.path, limit: YAMLReader.maxBytes + 1)
    let digest = SHA256.hex(text)
    guard digest == file.sha256 else {
      throw FerryError(
        .precondition, "plugin \(file.path) has changed: its SHA-256 is \(digest), and \(file.sha256) was expected",
        hint: "update or remove it")
    }
    binding = NativeBinding(try DescriptorReader.read(text, file))
  }

  /// Runs what belongs to no item, and answers what it has counted.
  func call(_ name: String, _ given: [String: String]) throws -> JSONValue {
    guard let oneOff = binding.descriptor.oneOffs[name] else {
      let near = Suggestion.nearest(to: name, in: Array(binding.descriptor.oneOffs.keys))
      throw FerryError(.notFound, "there is no call '\(name)'", hint: near.map { "did you mean '\($0)'?" } ?? "'ferry plugins' lists them")
    }
    let names = oneOff.values.map(\.name)
    let words = names.isEmpty ? "it takes none" : "it takes \(names.map { "\($0)=…" }.joined(separator: " "))"
    if let stranger = given.keys.filter({ !names.contains($0) }).min() {
      throw FerryError(.invalid, "call '\(name)' has no value '\(stranger)'", hint: words)
    }
    var values: [String: NativeValue] = [:]
    for value in oneOff.values {
      guard let text = given[value.name] else { throw FerryError(.invalid, "call '\(name)' needs the value '\(value.name)'", hint: words) }
      guard let read = value.type.value(text) else {
        throw FerryError(.invalid, "the value '\(value.name)' of call '\(name)' cannot be '\(text)'")
      }
      values[value.name] = read
    }
    let frame = NativeStepFrame(values)
    let runner = NativeStepRunner(
      binding, keep: [], resolve: { path in throw FerryError(.invalid, "'\(path.joined(separator: "."))' belongs to an item") },
      remember: { name, _ in throw FerryError(.invalid, "'kv.\(name)' belongs to an item") }, isCancelled: { false })
    try runner.run(oneOff.steps, frame)
    let counts = NativeStepChecker.counters.compactMap { name in frame.count(name).map { (name, JSONValue.int($0)) } }
    return .object(Dictionary(counts) { first, _ in first })
  }

  var module: PluginModule { binding.descriptor.module }

  func instance(_ instructions: HostInstructions, _ services: HostServices) throws -> any HostedInstance {
    guard let provider = binding.descriptor.providers[instructions.provider] else {
      throw FerryError(
        .notFound, "plugin \(instructions.file.path) has no provider '\(instructions.provider)'", hint: "update or remove it")
    }
    return try DescriptorInstance(binding, provider, instructions, services)
  }
}

extension NativeType {
  /// A value as a person or a manifest writes it.
  fileprivate func value(_ text: String) -> NativeValue? {
    switch self {
    case .cstring: .text(text)
    case .double: Double(decimal: text).map { .real($0) }
    case .int: Int64(decimal: text).flatMap { holds($0) ? .number($0) : nil }
    default: nil
    }
  }
}
