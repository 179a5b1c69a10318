import FerrySystem

/// A server that stands in for something, from a script of this repository, with a folder of its own.
public final class StandIn: Sendable {
  /// What it said when it was ready: where it is.
  public var line: String { companion.line }
  /// Its files.
  public let folder: TemporaryFolder
  private let companion: Companion

  /// Starts a script with a folder as its argument. The first time it may have to fetch what it needs.
  public init(_ script: String) throws {
    folder = try TemporaryFolder()
    companion = try Companion(Command(["\(Products.repository)/Scripts/\(script)", folder.path]), name: script)
  }
}
