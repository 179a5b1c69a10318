/// The text of a manifest, by lines, as messages show it.
struct ManifestSource {
  let file: String
  /// What messages call such a file: a descriptor is read in the same way.
  let noun: String
  private var lines: [[Unicode.Scalar]]
  /// Set when the YAML could not be read: then nobody knows which words are secrets.
  var isOpaque = true

  init(file: String, bytes: [UInt8], noun: String = "manifest") {
    self.file = file
    self.noun = noun
    var lines: [[Unicode.Scalar]] = [[]]
    var previous: Unicode.Scalar = " "
    for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
      // The line breaks of libyaml, so that its marks and these lines agree.
      switch scalar {
      case "\n" where previous == "\r": break
      case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": lines.append([])
      default: lines[lines.count - 1].append(scalar)
      }
      previous = scalar
    }
    self.lines = lines
  }

  /// The character at a place, or nil at the end of its line.
  func character(line: Int, column: Int) -> Unicode.Scalar? {
    guard lines.indices.contains(line - 1), lines[line - 1].indices.contains(column - 1) else { return nil }
    return lines[line - 1][column - 1]
  }

  /// The place of a word inside a node, or the node's own place.
  func place(of word: String, in mark: Mark) -> Mark {
    let word = Array(word.unicodeScalars)
    for line in mark.line...max(mark.line, mark.endLine) where lines.indices.contains(line - 1) {
      let text = lines[line - 1]
      let first = line == mark.line ? mark.column - 1 : 0
      var at = first
      while at + word.count <= text.count {
        if Array(text[at..<at + word.count]) == word {
          return Mark(line: line, column: at + 1, endLine: line, endColumn: at + 1 + word.count)
        }
        at += 1
      }
    }
    return mark
  }

  /// Blots a place out in every later excerpt.
  mutating func hide(_ mark: Mark) {
    for line in mark.line...max(mark.line, mark.endLine) where lines.indices.contains(line - 1) {
      let text = lines[line - 1]
      let first = line == mark.line ? mark.column - 1 : 0
      let end = line == mark.endLine ? mark.endColumn - 1 : text.count
      for at in first..<max(first, min(end, text.count)) where text[at] != " " { lines[line - 1][at] = "*" }
    }
  }

  /// Blots out what stands under `secrets`, and a password in a node's address.
  mutating func hideSecrets(of root: Node) {
    for item in (root["state"]?.list ?? []) + (root["repositories"]?.entries.map(\.value) ?? []) {
      if let secrets = item["secrets"] { hideSecrets(in: secrets, depth: 0) }
    }
    for side in ["source", "destination"] {
      if let node = root[side]?["node"], let text = node.text, NodeAddress.holdsPassword(text) { hide(node.mark) }
    }
  }

  private mutating func hideSecrets(in node: Node, depth: Int) {
    switch node.content {
    case .scalar, .broken: hide(node.mark)
    case .list(let nodes): for node in nodes { hideSecrets(in: node, depth: depth + 1) }
    case .map(let entries):
      for entry in entries {
        // Below a secret's own name a key is either one of ours or, in a slip like { hunter2 }, the secret.
        if depth > 0 && !SecretReference.keys.contains(entry.key) { hide(entry.keyMark) }
        hideSecrets(in: entry.value, depth: depth + 1)
      }
    }
  }

  /// A finding with its source line.
  func diagnostic(_ finding: Finding) -> Diagnostic {
    let line = min(max(finding.mark.line, 1), lines.count)
    let text = lines[line - 1]
    let column = min(max(finding.mark.column, 1), text.count + 1)
    let end = finding.mark.endLine == finding.mark.line ? finding.mark.endColumn : text.count + 1
    let length = max(1, min(end, text.count + 1) - column)
    let shows = finding.mark != .start && !(isOpaque && mayHoldSecret(line))
    return Diagnostic(
      file: file, line: line, column: column, length: length, severity: finding.severity, message: finding.message,
      suggestion: finding.suggestion, hint: finding.hint, excerpt: shows ? excerpt(text, column: column, length: length) : "")
  }

  private func excerpt(_ text: [Unicode.Scalar], column: Int, length: Int) -> String {
    // A window of a very long line; the column of the headline stays the true one.
    let first = text.count > 160 ? max(0, column - 61) : 0
    let shown = text[first...].prefix(160)
    let carets = min(length, max(1, shown.endIndex - (column - 1)))
    let line = String(String.UnicodeScalarView(shown.map { $0.isSafeToShow ? $0 : " " }))
    return "\(line)\n\(String(repeating: " ", count: column - 1 - first))\(String(repeating: "^", count: carets))"
  }

  /// Without a tree: whether a line is, or by its indentation lies below, a `secrets` key.
  private func mayHoldSecret(_ line: Int) -> Bool {
    var indent = Int.max
    for text in lines[..<line].reversed() {
      guard let first = text.firstIndex(where: { $0 != " " && $0 != "\t" }) else { continue }
      guard first < indent else { continue }
      indent = first
      if String(String.UnicodeScalarView(text)).contains("secrets") { return true }
      if first == 0 { return false }
    }
    return false
  }
}

extension Unicode.Scalar {
  /// No control character: a manifest must not be able to drive the reader's terminal.
  fileprivate var isSafeToShow: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: false
    default: true
    }
  }
}

/// A word from the manifest as a message shows it: in quotes, short, without control characters.
func quoted(_ word: String) -> String {
  let scalars = word.unicodeScalars.prefix(60).map { $0.isSafeToShow ? $0 : " " }
  let text = String(String.UnicodeScalarView(scalars))
  return word.unicodeScalars.count > 60 ? "'\(text)…'" : "'\(text)'"
}
