/// What was done with a service, as it happens.
public struct ServiceEvent: Sendable, Codable, Hashable {
  /// The steps that a person may want to see.
  public enum Act: String, Sendable, Codable { case held, stopped, released, started, healthy, warning }

  /// The service's name in the manifest.
  public var service: String
  /// At which end.
  public var side: Side
  /// What was done.
  public var act: Act
  /// What a person should know beside it, or empty.
  public var detail: String
  /// How long the step took.
  public var seconds: Double
}
