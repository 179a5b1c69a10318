import FerrySystem
import Glibc

/// Something that happened in a run. The same JSON line for `ferry run --json`, the event log and an embedder.
public struct Event: Sendable, Codable, Hashable {
  /// What happened; it decides which of the other members are there.
  public enum Kind: String, Sendable, Codable {
    /// The run and its manifest's name; the first event of each session.
    case session
    case phaseBegan = "phase-began", phaseEnded = "phase-ended"
    /// A pass of an item has ended: `bytes` and `entries` that changed, `seconds`, and in `text` how the provider found them, if it says so.
    case pass
    /// How far a provider's call has come.
    case progress
    case service
    case log
    case notice
    /// What the outage is predicted to be, in `seconds`, and what follows from it.
    case predicted
    /// The run waits for a person: `text` names the command.
    case waiting
    case error
    /// The run's end: `text` is the status.
    case ended
  }
  /// Seconds since 1970.
  public var at: Double
  /// The run's full id.
  public var run: String
  /// What happened.
  public var kind: Kind
  /// The phase that it belongs to.
  public var phase: Phase?
  /// The end that it happened at; nil: at the controller, or at both.
  public var side: Side?
  /// The item, or for `service` the service, that it is about.
  public var item: String?
  /// The pass, counted over the whole run from 0.
  public var pass: Int?
  /// Words for a person, in one line.
  public var text: String?
  /// 0 debug, 1 info, 2 warning, 3 error.
  public var level: Int?
  /// Content bytes: of a pass those that had changed, of progress those so far.
  public var bytes: Int64?
  /// 0 or nil: not known.
  public var bytesTotal: Int64?
  /// Entries: of a pass those that had changed, of progress those so far.
  public var entries: Int64?
  /// 0 or nil: not known.
  public var entriesTotal: Int64?
  /// How long it took, or for `predicted` what the outage will take.
  public var seconds: Double?

  init(_ kind: Kind, run: String) {
    at = wallClock()
    self.run = run
    self.kind = kind
  }
}

/// Takes events as they happen: to the run's event log on disk, and to whoever runs it.
final class EventSink: Sendable {
  let run: String
  private let log: Descriptor?
  private let handler: @Sendable (Event) -> Void

  init(run: String, log path: String?, handler: @escaping @Sendable (Event) -> Void) {
    self.run = run
    self.handler = handler
    log = path.flatMap { try? Descriptor.open($0, O_WRONLY | O_CREAT | O_APPEND) }
  }

  func emit(_ kind: Event.Kind, _ fill: (inout Event) -> Void = { _ in }) {
    var event = Event(kind, run: run)
    fill(&event)
    // Progress is for eyes, not for the log: an hour of it would bury what happened.
    if kind != .progress, let log, let line = try? JSONValue.encode(event) { try? log.write(line + [10]) }
    handler(event)
  }
}
