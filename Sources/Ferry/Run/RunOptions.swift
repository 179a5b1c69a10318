import FerrySystem

/// What a run is told beside its manifest.
public struct RunOptions: Sendable, Codable, Hashable {
  /// Overrides `cutover.max-downtime`.
  public var maxDowntime: Duration?
  /// Wait for `ferry proceed` before these phases, beside `cutover.hold-before`.
  public var holdBefore: [Phase] = []
  /// Go on although the destination looks too small.
  public var ignoreSpace = false
  /// Which half of a deferred run it is; nil: both at once.
  public var half: Half?
  /// What a receiving half fetches: a snapshot, a run, or `latest`.
  public var snapshot: String?
  /// The same by item, from a transfer's receipt; it goes first.
  public var snapshots: [String: String]?

  /// Nothing beside the manifest.
  public init() {}

  /// Throws if they do not fit a manifest: a wait that would never come.
  func demandFit(_ manifest: Manifest) throws {
    guard let missing = holdBefore.first(where: { !manifest.mode.phases.contains($0) }) else { return }
    throw FerryError(
      .invalid, "hold-before '\(missing.rawValue)': a run in mode '\(manifest.mode.rawValue)' has no such phase",
      hint: "it has \(manifest.mode.phases.map(\.rawValue).joined(separator: ", ")); nothing was changed")
  }
}

/// How a session of a run ended.
public struct RunResult: Sendable, Codable, Hashable {
  /// The run's full id.
  public var run: String
  /// Where it stands now, as the journal has it.
  public var status: RunEntry.Status
  /// The frozen exit code of the command.
  public var exit: ExitCode
  /// What went wrong first; nil if nothing did.
  public var error: FerryError?
  /// The proof, of a run that is done.
  public var receipt: Receipt?
  /// What compensation could not do, each with the command that finishes it.
  public var remaining: [String] = []
}

/// The exit codes of the `ferry` command. Frozen.
public enum ExitCode: Int32, Sendable, Codable, CaseIterable {
  case done = 0
  /// Failed; the source is as it was.
  case failed = 1
  /// Wrong usage or an invalid manifest.
  case usage = 2
  /// Done, but some items could not be read. Kept for it: a run that leaves something out fails.
  case unread = 3
  case checkFailed = 4
  /// Stopped where it can be resumed.
  case resumable = 5
  /// The ends are not equal.
  case mismatch = 6
  /// Compensation is incomplete: a person is needed.
  case incomplete = 7
  case notFound = 10
  case locked = 11
  case auth = 12
  case interrupted = 130

  /// The code for an error that ended a command before a run began.
  public init(_ error: FerryError) {
    self =
      switch error.class {
      case .invalid: .usage
      case .notFound: .notFound
      case .conflict: .locked
      case .auth: .auth
      case .cancelled: .interrupted
      case .precondition: .checkFailed
      default: .failed
      }
  }
}
