import Ferry

/// A state under test: how to change it, and how to look at it by means that share nothing with the provider.
public protocol ConformanceSubject: Sendable {
  /// Both ends. The source has a state; the destination has nothing yet.
  var ends: ItemEnds { get }
  /// Changes content at the source; each number differently.
  func change(_ number: Int) throws
  /// Changes no content at the source, but metadata.
  func touch() throws
  /// Puts something at the destination that was there before.
  func occupy() throws
  /// What is at an end; empty if there is nothing.
  func look(_ side: Side) throws -> [String]
  /// What lies beside the target that was not there before.
  var residue: [String] { get }
  /// What is at the destination once `from` has come to where `to` was: in most cases it has taken its place.
  func together(_ from: [String], _ to: [String]) -> [String]
  /// Whether it knows the second digest as well.
  var knowsSHA256: Bool { get }
  /// Whether `move` makes sense.
  var retires: Bool { get }
}

extension ConformanceSubject {
  /// It has taken its place.
  public func together(_ from: [String], _ to: [String]) -> [String] { from }
  /// Unless told.
  public var retires: Bool { true }
}
