import FerrySystem
import FoundationEssentials

/// An executable of the hook folder, as it travels to the node that runs it.
public struct Hook: Sendable, Codable, Hashable {
  /// When it runs: a phase of the run; `start`, inside `activate`, when all has its real name and before a service is started; `switch`, just
  /// after `activate`; or `ended`, when all is over, however it went.
  public enum Point: String, Sendable, Codable, CaseIterable {
    case check, prepare, copy, quiesce, final, verify, seal, activate, start, `switch`, retire, ended

    /// The point that a phase is.
    public init(_ phase: Phase) { self = Point(rawValue: phase.rawValue) ?? .check }
  }
  /// Where it runs.
  public enum Seat: String, Sendable, Codable, CaseIterable { case source, destination, controller }
  /// Around the core's act, or once the phase has failed.
  public enum Moment: String, Sendable, Codable { case before, after, failed }

  /// When it runs.
  public var point: Point
  /// Where it runs.
  public var seat: Seat
  /// On which side of the core's act.
  public var moment: Moment
  /// The file's name: `NN-what`.
  public var name: String
  /// The file's bytes.
  public var content: Data
  /// Their SHA-256, hex.
  public var digest: String

  /// Its path inside the hook folder, for messages.
  public var path: String { "\(point.rawValue)/\(seat.rawValue)/\(moment == .failed ? "failed/" : "")\(name)" }
}

extension [Hook] {
  /// Those to run at one moment, in order.
  public func at(_ point: Hook.Point, _ seat: Hook.Seat, _ moment: Hook.Moment) -> [Hook] {
    filter { $0.point == point && $0.seat == seat && $0.moment == moment }.sorted { $0.name < $1.name }
  }
}

extension JSONValue {
  /// This value with another laid over it: objects member by member, at any depth; anything else is replaced.
  public func merged(with later: JSONValue) -> JSONValue {
    guard case .object(let mine) = self, case .object(let theirs) = later else { return later }
    return .object(mine.merging(theirs) { $0.merged(with: $1) })
  }
}
