import FerrySystem
import Glibc

/// Something that happened in a run. The same JSON line for `ferry run --json`, the event log and an embedder.
public struct Event: Sendable, Codable, Hashable {
  public enum Kind: String, Sendable, Codable {
    /// The run and its manifest's name; the first event of each session.
    case session
    case phaseBegan = "phase-began", phaseEnded = "phase-ended"
    /// A pass of an item has ended: `bytes` and `entries` that changed, `seconds`.
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
  public var run: String
  public var kind: Kind
  public var phase: Phase?
  public var side: Side?
  public var item: String?
  public var pass: Int?
  public var text: String?
  /// 0 debug, 1 info, 2 warning, 3 error.
  public var level: Int?
  public var bytes: Int64?
  /// 0 or nil: not known.
  public var bytesTotal: Int64?
  public var entries: Int64?
  public var entriesTotal: Int64?
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
