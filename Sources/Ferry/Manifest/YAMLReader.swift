import CYAML

/// Reads one YAML document into nodes, through libyaml's events. Bounded in depth, size and alias expansion.
final class YAMLReader {
  static let maxBytes = 1 << 20
  static let maxDepth = 32
  /// Bytes of scalars plus 64 for each node, aliases counted as often as they are used.
  static let maxCost = 8 << 20

  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let source: ManifestSource
  private let findings: Findings
  private var anchors: [String: (node: Node, cost: Int)] = [:]
  private var open: [String] = []
  private var cost = 0

  /// The YAML cannot be read any further; the finding is already there.
  private struct Stop: Error {}

  private init(parser: UnsafeMutablePointer<yaml_parser_t>, source: ManifestSource, findings: Findings) {
    self.parser = parser
    self.source = source
    self.findings = findings
  }

  /// The document, or nil with a finding that says why there is none.
  static func read(_ bytes: [UInt8], source: ManifestSource, findings: Findings) -> Node? {
    guard RawText.check(bytes, findings: findings) else { return nil }
    // The parser keeps its own address, so it needs a fixed one.
    let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    defer { parser.deallocate() }
    guard yaml_parser_initialize(parser) == 1 else {
      findings.add(.yaml, .start, "no memory to read YAML")
      return nil
    }
    defer { yaml_parser_delete(parser) }
    return bytes.withUnsafeBufferPointer { buffer in
      yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
      yaml_parser_set_input_string(parser, buffer.baseAddress, buffer.count)
      return try? YAMLReader(parser: parser, source: source, findings: findings).document()
    }
  }

  private enum Event {
    case frame, documentStart, streamEnd, end
    case alias(String)
    case scalar(String, plain: Bool, anchor: String?, isTagged: Bool)
    case list(anchor: String?, isTagged: Bool)
    case map(anchor: String?, isTagged: Bool)
  }

  private func next() throws -> (Event, Mark) {
    var event = yaml_event_t()
    guard yaml_parser_parse(parser, &event) == 1 else { throw failure() }
    defer { yaml_event_delete(&event) }
    let mark = Mark(event.start_mark, event.end_mark)
    switch event.type {
    case YAML_DOCUMENT_START_EVENT: return (.documentStart, mark)
    case YAML_STREAM_END_EVENT: return (.streamEnd, mark)
    case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: return (.end, mark)
    case YAML_ALIAS_EVENT: return (.alias(text(event.data.alias.anchor) ?? ""), mark)
    case YAML_SCALAR_EVENT:
      let scalar = event.data.scalar
      let value = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
      let plain = scalar.style == YAML_PLAIN_SCALAR_STYLE
      return (.scalar(value, plain: plain, anchor: text(scalar.anchor), isTagged: scalar.tag != nil), mark)
    case YAML_SEQUENCE_START_EVENT:
      let list = event.data.sequence_start
      return (.list(anchor: text(list.anchor), isTagged: list.tag != nil), mark)
    case YAML_MAPPING_START_EVENT:
      let map = event.data.mapping_start
      return (.map(anchor: text(map.anchor), isTagged: map.tag != nil), mark)
    default: return (.frame, mark)
    }
  }

  private func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? { pointer.map { String(cString: $0) } }

  private func document() throws -> Node {
    var root: Node?
    while true {
      let (event, mark) = try next()
      switch event {
      case .streamEnd:
        if let root { return root }
        throw stop(.start, "the file is empty: there is no \(source.noun) in it")
      case .documentStart where root != nil:
        throw stop(mark, "a second document begins here; a \(source.noun) is one document")
      case .frame, .documentStart: continue
      default: root = try node(event, mark, depth: 0)
      }
    }
  }

  private func node(_ event: Event, _ mark: Mark, depth: Int) throws -> Node {
    guard depth < Self.maxDepth else { throw stop(mark, "nested deeper than \(Self.maxDepth) levels") }
    let before = cost
    try spend(64, at: mark)
    switch event {
    case .alias(let name): return try alias(name, mark)
    case .scalar(let text, let plain, let anchor, let isTagged):
      refuseTag(isTagged, mark)
      try spend(text.utf8.count, at: mark)
      var node = Node(content: .scalar(text, plain: plain), mark: mark)
      if text.utf8.contains(0) {
        findings.add(.yaml, mark, "a NUL character cannot be part of a text")
        node.content = .broken
      }
      return keep(node, as: anchor, since: before)
    case .list(let anchor, let isTagged):
      refuseTag(isTagged, mark)
      var nodes: [Node] = []
      let end = try collection(anchor) { event, mark in nodes.append(try node(event, mark, depth: depth + 1)) }
      return keep(Node(content: .list(nodes), mark: mark.extended(to: end)), as: anchor, since: before)
    case .map(let anchor, let isTagged):
      refuseTag(isTagged, mark)
      var map = MapBuilder()
      let end = try collection(anchor) { event, keyMark in
        let value: (Int) throws -> Node = { [self] depth in
          let (event, mark) = try next()
          return try node(event, mark, depth: depth)
        }
        guard case .scalar(let key, let plain, let keyAnchor, let isTagged) = event else {
          findings.add(.yaml, keyMark, "a key must be a plain text")
          _ = try node(event, keyMark, depth: depth + 1)
          _ = try value(depth + 1)
          return
        }
        refuseTag(isTagged, keyMark)
        try spend(64 + key.utf8.count, at: keyMark)
        _ = keep(Node(content: .scalar(key, plain: plain), mark: keyMark), as: keyAnchor, since: cost)
        let entry = Node.Entry(key: key, keyMark: keyMark, value: try value(depth + 1))
        map.add(entry, isMerge: key == "<<" && plain, findings)
      }
      let entries = map.finish(findings)
      return keep(Node(content: .map(entries), mark: mark.extended(to: end)), as: anchor, since: before)
    case .frame, .documentStart, .streamEnd, .end: throw stop(mark, "not valid YAML")
    }
  }

  /// Runs `body` for each event of a list or map; answers the mark of its end.
  private func collection(_ anchor: String?, _ body: (Event, Mark) throws -> Void) throws -> Mark {
    if let anchor { open.append(anchor) }
    defer { if anchor != nil { open.removeLast() } }
    while true {
      let (event, mark) = try next()
      if case .end = event { return mark }
      try body(event, mark)
    }
  }

  private func alias(_ name: String, _ mark: Mark) throws -> Node {
    if open.contains(name) {
      findings.add(.yaml, mark, "the alias stands inside what it repeats")
      return Node(content: .broken, mark: mark)
    }
    guard let (node, size) = anchors[name] else {
      // Its name is not told: it may be a password that begins with a star.
      let near = Suggestion.nearest(to: name, in: Array(anchors.keys))
      findings.add(.yaml, mark, "there is no anchor of this name above the alias", suggestion: near.map { "*\($0)" })
      return Node(content: .broken, mark: mark)
    }
    try spend(size, at: mark)
    return node
  }

  private func keep(_ node: Node, as anchor: String?, since before: Int) -> Node {
    if let anchor { anchors[anchor] = (node, cost - before) }
    return node
  }

  private func spend(_ amount: Int, at mark: Mark) throws {
    cost += amount
    guard cost <= Self.maxCost else {
      throw stop(mark, "with its aliases expanded the \(source.noun) is too large", hint: "at most \(Self.maxCost >> 20) MiB are read")
    }
  }

  private func refuseTag(_ isTagged: Bool, _ mark: Mark) {
    guard isTagged else { return }
    findings.add(.yaml, mark, "YAML tags have no meaning in a \(source.noun)", hint: "the key says what its value is; leave the tag out")
  }

  private func stop(_ mark: Mark, _ message: String, hint: String = "") -> Stop {
    findings.add(.yaml, mark, message, hint: hint)
    return Stop()
  }

  /// libyaml's own complaint, located.
  private func failure() -> Stop {
    let state = parser.pointee
    let mark = Mark(state.problem_mark, state.problem_mark)
    if source.character(line: mark.line, column: mark.column) == "\t" {
      return stop(mark, "a tab cannot indent YAML", hint: "use spaces")
    }
    // What was never closed is wrong where it was opened, not where the file ends.
    let isUnclosed = state.problem.map { String(cString: $0).contains("end of stream") } ?? false
    if isUnclosed, let context = state.context {
      let start = Mark(state.context_mark, state.context_mark)
      return stop(start, "not valid YAML: the file ends \(String(cString: context)) that begins here")
    }
    let problem = state.problem.map { String(cString: $0) } ?? "it cannot be read"
    var message = "not valid YAML: \(problem)"
    if let context = state.context { message += " \(String(cString: context)) that begins at line \(state.context_mark.line + 1)" }
    return stop(mark, message)
  }
}

extension Mark {
  fileprivate init(_ start: yaml_mark_t, _ end: yaml_mark_t) {
    self.init(line: start.line + 1, column: start.column + 1, endLine: end.line + 1, endColumn: end.column + 1)
  }

  /// A list or map on one line is marked whole, any other by its first character.
  fileprivate func extended(to end: Mark) -> Mark {
    guard end.endLine == line, end.endColumn > column else {
      return Mark(line: line, column: column, endLine: line, endColumn: column + 1)
    }
    return Mark(line: line, column: column, endLine: line, endColumn: end.endColumn)
  }
}

/// The keys of one map: duplicates refused, merges applied last.
private struct MapBuilder {
  private var entries: [Node.Entry] = []
  private var seen: [String: Mark] = [:]
  private var merged: [Node] = []

  mutating func add(_ entry: Node.Entry, isMerge: Bool, _ findings: Findings) {
    if isMerge {
      if case .list(let nodes) = entry.value.content { merged += nodes } else { merged.append(entry.value) }
    } else if let first = seen[entry.key] {
      findings.add(.yaml, entry.keyMark, "the key \(quoted(entry.key)) is there twice", hint: "the first is at line \(first.line)")
    } else {
      seen[entry.key] = entry.keyMark
      entries.append(entry)
    }
  }

  /// A key of the map itself wins over a merged one, and an earlier merge over a later one.
  mutating func finish(_ findings: Findings) -> [Node.Entry] {
    for node in merged where !node.isBroken {
      if !node.isMap { findings.add(.yaml, node.mark, "'<<' merges a map or a list of maps, not \(node.described)") }
      for entry in node.entries where seen[entry.key] == nil {
        seen[entry.key] = entry.keyMark
        entries.append(entry)
      }
    }
    return entries
  }
}
