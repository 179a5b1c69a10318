/// `etc/state-filter-rules.rsync`, whose paths begin at the folder that has `state/` and `volumes/` in it, as rules for `state/` alone.
struct NS8FilterRules {
  /// Rules in their order, for the rsync provider's `filter`.
  var filter: [String] = []
  /// Entries of `state/` that stay the destination's.
  var kept: [String] = []
  /// What could not be said in the manifest.
  var notes: [String] = []

  private enum Kind { case rule(String), protect, clear, merge }
  private static let words: [String: Kind] = [
    "exclude": .rule("-"), "-": .rule("-"), "include": .rule("+"), "+": .rule("+"), "hide": .rule("H"), "H": .rule("H"),
    "show": .rule("S"), "S": .rule("S"), "protect": .protect, "P": .protect, "risk": .rule("R"), "R": .rule("R"), "clear": .clear,
    "!": .clear, "merge": .merge, ".": .merge, "dir-merge": .merge, ":": .merge,
  ]

  init(_ text: String = "") {
    for line in text.split(separator: "\n").map({ String($0) }) where !line.trimmed.isEmpty && !"#;".contains(line.first ?? "#") {
      add(line)
    }
  }

  private mutating func add(_ line: String) {
    let parts = line.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == " " || $0 == "_" }.map(String.init)
    var word = parts[0]
    var modifiers = ""
    if Self.words[word] == nil, let first = word.first, let _ = Self.words[String(first)] {
      // A short rule with its modifiers: `-!s pattern`.
      (word, modifiers) = (String(first), String(word.dropFirst()).split(separator: ",").joined())
    } else if Self.words[word] == nil, let comma = word.firstIndex(of: ",") {
      (word, modifiers) = (String(word[..<comma]), String(word[word.index(after: comma)...]))
    }
    let pattern = parts.count > 1 ? parts[1] : ""
    switch Self.words[word] {
    // It clears the module's own rules, and never what the manifest keeps.
    case .clear: filter = []
    case .rule(let rule): addRule(line, rule + modifiers, pattern)
    case .protect:
      if let name = Self.inState(pattern), !name.dropFirst().contains(where: { "/*?[".contains($0) }), name.count > 1 {
        kept.append(String(name.dropFirst()))
      } else {
        notes.append("the filter rule '\(line)' protects what `keep` cannot name: the folder at the destination is replaced whole")
      }
    case .merge, nil: notes.append("the filter rule '\(line)' is not carried over: write its rules into `filter`")
    }
  }

  private mutating func addRule(_ line: String, _ rule: String, _ pattern: String) {
    if pattern.hasPrefix("/") {
      if let path = Self.inState(pattern) {
        filter.append("\(rule) \(path)")
      } else if pattern.hasPrefix("/volumes") {
        notes.append("the filter rule '\(line)' is about volumes, and podman-volume moves a volume whole")
      }
      return
    }
    filter.append("\(rule) \(pattern)")
    notes.append("the filter rule '\(line)' holds for state/ alone: podman-volume moves a volume whole")
  }

  /// A pattern below `/state/`, from there.
  private static func inState(_ pattern: String) -> String? {
    pattern.hasPrefix("/state/") && pattern.count > 7 ? String(pattern.dropFirst(6)) : nil
  }
}
