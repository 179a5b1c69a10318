/// Something that a person should know before or after the fact.
public struct Notice: Sendable, Codable, Hashable {
  public enum Severity: String, Sendable, Codable { case info, warning, error }
  public var severity: Severity
  public var text: String
  public var hint: String

  public init(_ severity: Severity, _ text: String, hint: String = "") {
    self.severity = severity
    self.text = text
    self.hint = hint
  }
}
