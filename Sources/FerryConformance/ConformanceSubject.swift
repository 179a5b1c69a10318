import Ferry

/// A state under test: how to change it, and how to look at it by means that share nothing with the provider.
public protocol ConformanceSubject: Sendable {
  /// Both ends. The source has a state; the destination has nothing yet.
  var ends: ItemEnds { get }
  /// Changes content at the source; each number differently.
  func change(_ number: Int) throws
  /// Makes the smallest change at the source, to one entry: no content but metadata, where the state has any.
  func touch() throws
  /// Leaves nothing in the state at the source, which stays a state.
  func empty() throws
  /// Puts something at the destination that was there before.
  func occupy() throws
  /// What is at an end; empty if there is nothing.
  func look(_ side: Side) throws -> [String]
  /// What a run has left that was not there before, and is no part of the state.
  func residue() throws -> [String]
  /// What is at the destination once `from` has come to where `to` was: in most cases it has taken its place.
  func together(_ from: [String], _ to: [String]) -> [String]
  /// Whether it knows the second digest as well.
  var knowsSHA256: Bool { get }
  /// Whether `retire` removes the state.
  var retires: Bool { get }
  /// From now until `makeRoom` the destination is too small for the state. Called before anything is there. Answers why that cannot be had.
  func takeRoom() throws -> String?
  /// Room enough.
  func makeRoom() throws
  /// The check is over.
  func end()
}

extension ConformanceSubject {
  /// It has taken its place.
  public func together(_ from: [String], _ to: [String]) -> [String] { from }
  /// Unless told.
  public var retires: Bool { true }
  /// Nobody knows which disk to fill.
  public func takeRoom() throws -> String? { "the specimen does not say on which disk its destination is" }
  /// There is enough.
  public func makeRoom() throws {}
  /// Nothing to do.
  public func end() {}
}
