/// Holds nodes against shapes. What it answers is the typed value with defaults filled in, as good as it can be made;
/// what is wrong goes to the findings.
struct ShapeChecker {
  let findings: Findings
  var kind = Finding.Kind.shape

  /// `place` is what messages call the node: `'parallel' of 'limits'`.
  func value(_ node: Node, _ shape: Shape, at place: String) -> JSONValue {
    guard let allowed = shape.allowed, !node.isBroken, !node.isEmpty else { return typed(node, shape, at: place) }
    // The list of words says it all; what else is wrong with the value would be the same mistake again.
    let value = ShapeChecker(findings: Findings(), kind: kind).typed(node, shape, at: place)
    if !allowed.contains(value) {
      let near = node.text.flatMap { Suggestion.nearest(to: $0, in: allowed.compactMap(\.string)) }
      let words = allowed.map { $0.string ?? $0.text }.joined(separator: ", ", last: " or ")
      complain(node, shape, "\(place) must be \(shape.expect ?? words)", suggestion: near)
    }
    return value
  }

  private func typed(_ node: Node, _ shape: Shape, at place: String) -> JSONValue {
    if node.isBroken { return .null }
    switch shape.kind {
    case .any: return Self.untyped(node)
    case .null:
      if !node.isEmpty && node.text != "null" && node.text != "~" { mismatch(node, shape, "nothing", place) }
      return .null
    case .oneOf(let shapes): return oneOf(node, shapes, shape, at: place)
    default: break
    }
    if node.isEmpty {
      findings.add(kind, node.mark, "\(place) has no value", hint: shape.hint)
      return .null
    }
    switch shape.kind {
    case .text(let text): return self.text(node, text, shape, at: place)
    case .bool: return bool(node, shape, at: place)
    case .int(let minimum, let maximum):
      guard let text = node.text, let number = Int64(decimal: text) else {
        mismatch(node, shape, "a whole number", place)
        return Self.untyped(node)
      }
      range(Double(number), minimum, maximum, node, shape, place)
      return .int(number)
    case .number(let minimum, let maximum):
      guard let text = node.text, let number = Double(decimal: text) else {
        mismatch(node, shape, "a number", place)
        return Self.untyped(node)
      }
      range(number, minimum, maximum, node, shape, place)
      return Int64(decimal: text).map { .int($0) } ?? .double(number)
    case .list(let element, let atLeast):
      guard case .list(let nodes) = node.content else {
        mismatch(node, shape, "a list", place)
        return Self.untyped(node)
      }
      if nodes.count < atLeast { findings.add(kind, node.mark, "\(place) must have at least \(count(atLeast, "entry", "entries"))") }
      return .array(nodes.enumerated().map { value($1, element, at: self.place(of: $1, number: $0 + 1, element, in: place)) })
    case .record(let record):
      guard node.isMap else {
        mismatch(node, shape, "a map of keys", place)
        return Self.untyped(node)
      }
      return self.record(node, record, shape, at: place)
    case .any, .null, .oneOf: return Self.untyped(node)
    }
  }

  // MARK: Scalars

  private func text(_ node: Node, _ rules: Shape.Text, _ shape: Shape, at place: String) -> JSONValue {
    guard let text = node.text else {
      mismatch(node, shape, "a text", place)
      return Self.untyped(node)
    }
    if text.unicodeScalars.count < rules.minLength {
      let rule = rules.minLength == 1 ? "not be empty" : "have at least \(rules.minLength) characters"
      findings.add(kind, node.mark, "\(place) must \(rule)", hint: shape.hint)
    } else if let pattern = rules.pattern, !pattern.matches(text) {
      mismatch(node, shape, "a text that matches \(pattern.text)", place)
    } else if let problem = rules.problem?(text) {
      findings.add(.meaning, node.mark, "\(place) \(problem)\(shape.isSecret ? "" : ": \(node.described)")", hint: shape.hint)
    }
    return .string(text)
  }

  private func bool(_ node: Node, _ shape: Shape, at place: String) -> JSONValue {
    switch node.text {
    case "true": return true
    case "false": return false
    default:
      let meant: String? =
        switch node.text?.lowercased() {
        case "yes", "y", "on", "1", "true": "true"
        case "no", "n", "off", "0", "false": "false"
        default: nil
        }
      mismatch(node, shape, "true or false", place, suggestion: meant)
      return Self.untyped(node)
    }
  }

  private func range(_ number: Double, _ minimum: Double?, _ maximum: Double?, _ node: Node, _ shape: Shape, _ place: String) {
    func words(_ bound: Double) -> String { Int64(exactly: bound).map { String($0) } ?? String(bound) }
    if let minimum, number < minimum { complain(node, shape, "\(place) must be at least \(words(minimum))") }
    if let maximum, number > maximum { complain(node, shape, "\(place) must be at most \(words(maximum))") }
  }

  // MARK: Maps

  private func record(_ node: Node, _ record: Shape.Record, _ shape: Shape, at place: String) -> JSONValue {
    var members: [String: JSONValue] = [:]
    for entry in node.entries {
      let inner = Self.place(ofKey: entry.key, in: place)
      if let field = record.field(entry.key) {
        members[entry.key] = value(entry.value, field.shape, at: inner)
      } else if let rest = record.rest {
        if let keys = record.restKeys, !keys.matches(entry.key) {
          let key = shape.isSecret ? "a key" : quoted(entry.key)
          findings.add(kind, entry.keyMark, "\(key) in \(place) is no name that can stand here", hint: "a name matches \(keys.text)")
        }
        members[entry.key] = value(entry.value, rest, at: inner)
      } else {
        unknown(entry, record, shape, place)
        members[entry.key] = Self.untyped(entry.value)
      }
    }
    for field in record.fields where node[field.key] == nil {
      if let value = field.defaultValue {
        members[field.key] = value
      } else if field.isRequired && !isSlip(of: field.key, in: node, record) {
        findings.add(kind, Self.head(node), "'\(field.key)' is missing in \(place)")
      }
    }
    exactlyOne(node, record, shape, place)
    return .object(members)
  }

  /// Whether an unknown key was told to be this one: that the key is missing would be the same mistake again.
  private func isSlip(of key: String, in node: Node, _ record: Shape.Record) -> Bool {
    guard record.rest == nil else { return false }
    let known = record.fields.map(\.key) + record.alsoKnown
    return node.entries.contains { record.field($0.key) == nil && Suggestion.nearest(to: $0.key, in: known) == key }
  }

  private func unknown(_ entry: Node.Entry, _ record: Shape.Record, _ shape: Shape, _ place: String) {
    if shape.isSecret {
      findings.add(kind, entry.keyMark, "\(place) must be \(shape.expect ?? "a secret's reference")", hint: shape.hint)
      return
    }
    let known = Set(record.fields.map(\.key) + record.alsoKnown).sorted()
    let near = Suggestion.nearest(to: entry.key, in: known)
    let hint = near == nil && !known.isEmpty ? "known here: \(known.joined(separator: ", "))" : ""
    findings.add(kind, entry.keyMark, "unknown key \(quoted(entry.key)) in \(place)", suggestion: near, hint: hint)
  }

  private func exactlyOne(_ node: Node, _ record: Shape.Record, _ shape: Shape, _ place: String) {
    guard !record.exactlyOne.isEmpty else { return }
    let there = record.exactlyOne.filter { $0.allSatisfy { node[$0] != nil } }
    guard there.count != 1 else { return }
    func words(_ groups: [[String]], _ last: String) -> String {
      groups.map { $0.map { "'\($0)'" }.joined(separator: " with ") }.joined(separator: ", ", last: last)
    }
    if there.isEmpty {
      let slip = record.exactlyOne.joined().contains { isSlip(of: $0, in: node, record) }
      let message = "\(place) needs one of \(words(record.exactlyOne, " or "))"
      let head = Self.head(node)
      if shape.isSecret && !node.entries.isEmpty { return }
      if !slip { findings.add(kind, head, message, hint: shape.hint) }
    } else {
      let second = there[1].compactMap { node.entry($0)?.keyMark }.first ?? node.mark
      findings.add(kind, second, "\(place) has \(words(there, " and ")); only one of them can be", hint: shape.hint)
    }
  }

  // MARK: Alternatives

  private func oneOf(_ node: Node, _ shapes: [Shape], _ shape: Shape, at place: String) -> JSONValue {
    var fitting: [JSONValue] = []
    var near: [Shape] = []
    for candidate in shapes {
      let trial = Findings()
      let value = ShapeChecker(findings: trial, kind: kind).value(node, candidate, at: place)
      if trial.all.isEmpty { fitting.append(value) }
      if candidate.takes(node) { near.append(candidate) }
    }
    // `5` is a number and a text as well; the narrower reading is meant, unless there are quotes.
    if fitting.count > 1, node.text != nil {
      let quotes = if case .scalar(_, plain: false) = node.content { true } else { false }
      let texts = fitting.filter { $0.string != nil }
      let others = fitting.filter { $0.string == nil }
      if texts.count == 1 && (quotes || others.isEmpty) { return texts[0] }
      if let first = others.first, texts.count <= 1 { return first }
    }
    if fitting.count == 1 { return fitting[0] }
    if fitting.count > 1 {
      findings.add(kind, node.mark, "\(place) fits more than one of the forms that it can have", hint: shape.hint)
    } else if near.count == 1 {
      return value(node, near[0], at: place)
    } else {
      let forms = shapes.map(\.words)
      let unique = forms.enumerated().filter { !forms[..<$0.offset].contains($0.element) }.map(\.element)
      complain(node, shape, "\(place) must be \(shape.expect ?? unique.joined(separator: ", ", last: " or "))")
    }
    return Self.untyped(node)
  }

  // MARK: Words

  private func mismatch(_ node: Node, _ shape: Shape, _ expected: String, _ place: String, suggestion: String? = nil) {
    complain(node, shape, "\(place) must be \(shape.expect ?? expected)", suggestion: suggestion)
  }

  private func complain(_ node: Node, _ shape: Shape, _ message: String, suggestion: String? = nil) {
    let value = shape.isSecret ? "" : ", not \(node.described)"
    findings.add(kind, node.mark, message + value, suggestion: shape.isSecret ? nil : suggestion, hint: shape.hint)
  }

  private func count(_ number: Int, _ one: String, _ many: String) -> String {
    "\(number == 1 ? "one" : String(number)) \(number == 1 ? one : many)"
  }

  /// What messages call the value of a key.
  static func place(ofKey key: String, in place: String) -> String {
    place == ManifestSchema.place ? quoted(key) : "\(quoted(key)) of \(place)"
  }

  private func place(of node: Node, number: Int, _ shape: Shape, in place: String) -> String {
    guard case .record(let record) = shape.kind, let noun = record.noun else { return "entry \(number) of \(place)" }
    return Self.place(of: node, noun: noun, number: number)
  }

  /// What messages call a named element: `state 'site'`, or `state 2` while it has no name.
  static func place(of node: Node, noun: String, number: Int) -> String {
    if let name = node["name"]?.text, !name.isEmpty { return "\(noun) \(quoted(name))" }
    return "\(noun) \(number)"
  }

  /// Where to point when something is missing in a map: at its first key.
  static func head(_ node: Node) -> Mark {
    guard let first = node.entries.first?.keyMark, (first.line, first.column) == (node.mark.line, node.mark.column) else {
      return node.mark
    }
    return first
  }

  /// A node by itself: what is written like a number or a truth value is one.
  static func untyped(_ node: Node) -> JSONValue {
    switch node.content {
    case .broken: return .null
    case .list(let nodes): return .array(nodes.map(untyped))
    case .map(let entries): return .object(Dictionary(entries.map { ($0.key, untyped($0.value)) }) { first, _ in first })
    case .scalar(let text, plain: false): return .string(text)
    case .scalar(let text, plain: true):
      switch text {
      case "", "~", "null": return .null
      case "true": return true
      case "false": return false
      default: return Int64(decimal: text).map { .int($0) } ?? Double(decimal: text).map { .double($0) } ?? .string(text)
      }
    }
  }
}

extension Shape {
  /// Whether a node is of the kind that this shape is about.
  fileprivate func takes(_ node: Node) -> Bool {
    switch (kind, node.content) {
    case (.any, _), (_, .broken), (.list, .list), (.record, .map): true
    case (.text, .scalar), (.bool, .scalar), (.int, .scalar), (.number, .scalar), (.null, .scalar): true
    default: false
    }
  }

  /// What messages call it.
  fileprivate var words: String {
    if let expect { return expect }
    return switch kind {
    case .any: "anything"
    case .null: "nothing"
    case .bool: "true or false"
    case .text: "a text"
    case .int: "a whole number"
    case .number: "a number"
    case .list: "a list"
    case .record: "a map of keys"
    case .oneOf(let shapes): shapes.map(\.words).joined(separator: ", ", last: " or ")
    }
  }
}

extension Int64 {
  /// Decimal digits with an optional minus, as JSON has them, and nothing else.
  init?(decimal text: String) {
    let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
    guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), digits == "0" || !digits.hasPrefix("0") else { return nil }
    self.init(text)
  }
}

extension Double {
  /// A number as JSON has it.
  init?(decimal text: String) {
    guard let first = text.utf8.first, first == 0x2D || (0x30...0x39).contains(first) else { return nil }
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }) else { return nil }
    self.init(text)
    if !isFinite { return nil }
  }
}

extension [String] {
  /// `a, b or c`.
  func joined(separator: String, last: String) -> String {
    guard count > 1, let end = self.last else { return first ?? "" }
    return dropLast().joined(separator: separator) + last + end
  }
}
