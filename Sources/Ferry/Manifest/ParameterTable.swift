/// The `parameters` of a manifest with their values, and what puts these into texts.
///
/// A value goes in after YAML was read, as text: nothing in it can become a key, a list or another parameter.
struct ParameterTable {
  static let namePattern = "^[A-Za-z][A-Za-z0-9_-]*$"
  /// All texts together, after values were put in.
  static let maxBytes = 4 << 20

  /// The value of each parameter that has one.
  private(set) var values: [String: String] = [:]
  private let declared: [Node.Entry]
  private var used: Set<String> = []
  private var bytes = 0
  /// Below `secrets` what looks like a parameter may be part of a password.
  private var isInSecrets = false
  private let source: ManifestSource
  private let findings: Findings

  init(_ root: Node, given: [String: String], source: ManifestSource, findings: Findings) {
    self.source = source
    self.findings = findings
    declared = root["parameters"]?.entries ?? []
    for entry in declared { declare(entry, given: given[entry.key]) }
    for name in given.keys.sorted() where !declared.contains(where: { $0.key == name }) {
      let near = Suggestion.nearest(to: name, in: declared.map(\.key))
      findings.add(
        .parameter, root.entry("parameters")?.keyMark ?? .start, "no parameter \(quoted(name)) is declared", suggestion: near,
        hint: "it was given with --set \(name)=…")
    }
  }

  private mutating func declare(_ entry: Node.Entry, given: String?) {
    let name = entry.key
    if let text = entry.value["default"]?.text, text.contains("${") {
      findings.add(
        .parameter, entry.value["default"]?.mark ?? entry.keyMark, "the default of parameter \(quoted(name)) cannot use parameters")
    }
    guard let value = given ?? entry.value["default"]?.text else {
      // A declaration of the wrong kind is told by its shape.
      guard entry.value["default"] == nil, entry.value.isMap || entry.value.isEmpty else { return }
      findings.add(.parameter, entry.keyMark, "parameter \(quoted(name)) has no value", hint: "give it with --set \(name)=…")
      return
    }
    values[name] = value
    if value.utf8.contains(0) {
      findings.add(.parameter, entry.keyMark, "the value of parameter \(quoted(name)) holds a NUL character")
    }
    guard let rule = entry.value["pattern"], let pattern = rule.text, !rule.isEmpty else { return }
    do {
      if try !Pattern("^(\(pattern))$").matches(value) {
        findings.add(.parameter, rule.mark, "the value \(quoted(value)) of parameter \(quoted(name)) does not match \(pattern)")
      }
    } catch {
      findings.add(.parameter, rule.mark, "in the pattern of parameter \(quoted(name)): \(FerryError.wrap(error).message)")
    }
  }

  /// The tree with values in place of `${name}`; `parameters` itself stays as it is.
  mutating func fill(_ root: Node) -> Node {
    guard case .map(var entries) = root.content else { return root }
    for index in entries.indices where entries[index].key != "parameters" { entries[index].value = fill(inside: entries[index].value) }
    // Hooks read parameters by their names.
    let hasHooks = entries.contains { $0.key == "hooks" }
    for entry in declared where !hasHooks && !used.contains(entry.key) {
      findings.add(.parameter, entry.keyMark, "parameter \(quoted(entry.key)) is never used", severity: .warning)
    }
    return Node(content: .map(entries), mark: root.mark)
  }

  private mutating func fill(inside node: Node) -> Node {
    var node = node
    switch node.content {
    case .broken: break
    case .list(let nodes): node.content = .list(nodes.map { fill(inside: $0) })
    case .map(var entries):
      let outside = isInSecrets
      for index in entries.indices {
        isInSecrets = outside || entries[index].key == "secrets"
        entries[index].value = fill(inside: entries[index].value)
        guard entries[index].key.contains("${"), let key = fill(entries[index].key, at: entries[index].keyMark) else { continue }
        if entries.contains(where: { $0.key == key }) {
          findings.add(.parameter, entries[index].keyMark, "with its parameters filled in the key \(quoted(key)) is there twice")
        }
        entries[index].key = key
      }
      isInSecrets = outside
      node.content = .map(entries)
    case .scalar(let text, _):
      guard text.contains("${") else { break }
      // Quoted from here on: an empty value is an empty text, not a key without a value.
      node.content = fill(text, at: node.mark).map { .scalar($0, plain: false) } ?? .broken
    }
    return node
  }

  /// The text with values put in; nil, with findings, where that cannot be.
  private mutating func fill(_ text: String, at mark: Mark) -> String? {
    var out = ""
    var rest = Substring(text)
    var isWhole = true
    while let start = rest.firstIndex(of: "$") {
      out += rest[..<start]
      rest = rest[start...]
      if rest.hasPrefix("$${") {
        out += "${"
        rest = rest.dropFirst(3)
      } else if rest.hasPrefix("${") {
        guard let end = rest.firstIndex(of: "}") else {
          findings.add(.parameter, source.place(of: "${", in: mark), "'${' has no '}'", hint: "write $${ for a plain ${")
          return nil
        }
        if let value = value(String(rest[rest.index(start, offsetBy: 2)..<end]), at: mark) { out += value } else { isWhole = false }
        rest = rest[rest.index(after: end)...]
      } else {
        out += "$"
        rest = rest.dropFirst()
      }
      if out.utf8.count > Self.maxBytes { break }
    }
    out += rest
    let isFirst = bytes <= Self.maxBytes
    bytes += out.utf8.count
    guard bytes <= Self.maxBytes else {
      guard isFirst else { return nil }
      findings.add(.parameter, mark, "with its parameters filled in the manifest is too large", hint: "at most \(Self.maxBytes >> 20) MiB")
      return nil
    }
    return isWhole ? out : nil
  }

  private mutating func value(_ name: String, at mark: Mark) -> String? {
    let place = source.place(of: "${\(name)}", in: mark)
    if name.hasPrefix("env:") {
      findings.add(
        .parameter, place, "the environment cannot be put into a manifest",
        hint: "a secret is a reference, secrets: { name: { env: NAME } }; anything else is a parameter for --set")
      return nil
    }
    guard let entry = declared.first(where: { $0.key == name }) else {
      let near = Suggestion.nearest(to: name, in: declared.map(\.key))
      if let near { used.insert(near) }
      let hint = near == nil ? "declare it under 'parameters', or write $${ for a plain ${" : ""
      let word = isInSecrets ? "of this name" : quoted(name)
      findings.add(.parameter, place, "no parameter \(word) is declared", suggestion: near, hint: hint)
      return nil
    }
    used.insert(name)
    return values[entry.key]
  }
}
