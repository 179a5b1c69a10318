/// One thing that is wrong in a manifest, and where.
public struct Diagnostic: Sendable, Codable, Hashable, CustomStringConvertible {
  /// Whether the manifest can be used all the same.
  public enum Severity: String, Sendable, Codable { case error, warning }

  /// The file as the caller named it.
  public var file: String
  /// Counts from 1.
  public var line: Int
  /// Counts from 1, in characters (Unicode scalars).
  public var column: Int
  /// How many characters of the line are meant.
  public var length: Int
  /// An error, or a warning that stops nothing.
  public var severity: Severity
  /// One sentence without capital and full stop. It never holds a secret.
  public var message: String
  /// The word that was probably meant.
  public var suggestion: String?
  /// What to do about it, or empty.
  public var hint: String
  /// The source line and a line of carets below it, secrets blotted out; empty where there is none to show, or where
  /// it could tell a secret.
  public var excerpt: String

  /// `site.yaml:14:9: unknown key 'exlude' in state 'site' – did you mean 'exclude'?`
  public var headline: String {
    let warning = severity == .warning ? "warning: " : ""
    let question = suggestion.map { " – did you mean '\($0)'?" } ?? ""
    return "\(file):\(line):\(column): \(warning)\(message)\(question)"
  }

  /// The headline, the source line with its carets, and the hint.
  public var description: String {
    ([headline] + [excerpt, hint.isEmpty ? "" : "hint: \(hint)"].filter { !$0.isEmpty }).joined(separator: "\n")
  }
}

/// All that is wrong in a manifest, in the order of the file.
public struct ManifestErrors: Error, Sendable, Codable, Hashable, CustomStringConvertible {
  /// At least one error; warnings stand between them.
  public var diagnostics: [Diagnostic]

  /// Every diagnostic as a person reads it.
  public var description: String { diagnostics.map(\.description).joined(separator: "\n") }

  /// The same as one error of the class `invalid`.
  public var ferryError: FerryError { FerryError(.invalid, description) }

  /// How many they are, as one error of the class `invalid`.
  public var summary: FerryError {
    let number = diagnostics.count { $0.severity == .error }
    return FerryError(.invalid, "the manifest has \(number == 1 ? "1 error" : "\(number) errors")", hint: "nothing was changed")
  }
}

/// A place in the source. Lines and columns count from 1, columns in Unicode scalars; the end is the first column after it.
struct Mark: Sendable, Hashable {
  var line: Int
  var column: Int
  var endLine: Int
  var endColumn: Int

  /// The file as such: no place in it.
  static let start = Mark(line: 1, column: 1, endLine: 1, endColumn: 1)
}

/// A diagnostic in the making: not yet joined with its source line.
struct Finding {
  /// Who can see the mistake; the tests hold the published schema against the parser by it.
  enum Kind { case yaml, parameter, shape, provider, meaning }

  var kind: Kind
  var mark: Mark
  var message: String
  var suggestion: String?
  var hint = ""
  var severity = Diagnostic.Severity.error
}

/// Gathers what is wrong, so that one run over a file tells all of it.
final class Findings {
  /// More than this helps nobody, and a hostile file must not cost more than its size.
  static let limit = 200

  private(set) var all: [Finding] = []
  var hasErrors: Bool { all.contains { $0.severity == .error } }

  func add(_ finding: Finding) {
    // A merged or aliased part is looked at once for each use; it is told once.
    let isKnown = all.contains { $0.mark == finding.mark && $0.message == finding.message }
    if all.count < Self.limit && !isKnown { all.append(finding) }
  }

  func add(
    _ kind: Finding.Kind, _ mark: Mark, _ message: String, suggestion: String? = nil, hint: String = "",
    severity: Diagnostic.Severity = .error
  ) {
    add(Finding(kind: kind, mark: mark, message: message, suggestion: suggestion, hint: hint, severity: severity))
  }

  /// The diagnostics, sorted by place.
  func diagnostics(in source: ManifestSource) -> [Diagnostic] {
    let sorted = all.sorted { ($0.mark.line, $0.mark.column, $0.message) < ($1.mark.line, $1.mark.column, $1.message) }
    return sorted.map(source.diagnostic)
  }
}
