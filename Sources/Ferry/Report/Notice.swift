/// Something that a person should know before or after the fact.
public struct Notice: Sendable, Codable, Hashable {
  /// `error` keeps a run from going on; the others are for people to weigh.
  public enum Severity: String, Sendable, Codable { case info, warning, error }
  /// How much it matters.
  public var severity: Severity
  /// What is so, in one sentence.
  public var text: String
  /// What to do about it, or empty.
  public var hint: String

  /// Makes a notice.
  public init(_ severity: Severity, _ text: String, hint: String = "") {
    self.severity = severity
    self.text = text
    self.hint = hint
  }
}
