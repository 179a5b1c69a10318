/// A run in one line of JSON: its entry without the whole manifest.
public struct RunStatus: Sendable, Encodable {
  /// Tells the line from others.
  public var kind = "run"
  /// The run's full id.
  public var run: String
  /// What the manifest calls the migration.
  public var name: String
  /// What becomes of the source.
  public var mode: Manifest.Mode
  /// Where it stands, as the journal has it.
  public var status: RunEntry.Status
  /// Whether a controller is at work on it.
  public var atWork: Bool
  /// Seconds since 1970.
  public var begun: Double
  /// Seconds since 1970; nil: it is not at its end.
  public var ended: Double?
  /// Seconds without service, of a run that is done.
  public var outage: Double?
  /// What went wrong first.
  public var error: FerryError?

  /// The line of an entry.
  public init(_ entry: RunEntry) {
    run = entry.id
    name = entry.manifest.name
    mode = entry.manifest.mode
    status = entry.status
    atWork = entry.isAtWork
    begun = entry.created
    ended = entry.ended
    outage = entry.receipt?.outage.total
    error = entry.error
  }
}

extension RunEntry {
  /// Whether the controller of a run that is not at its end still lives.
  public var isAtWork: Bool { status == .running && controller?.isAlive == true }
}
