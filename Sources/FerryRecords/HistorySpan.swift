import FerrySystem
import Haystack

/// A span of history: `today`, `yesterday`, a day, a day and the last one, or a moment and another. Days are those of each point's zone.
public struct HistorySpan: Sendable, Hashable {
  private enum Bound: Sendable, Hashable {
    case day(Int)
    case date(HDate)
    case moment(Int64)
  }
  private let first: Bound
  private let last: Bound?

  /// Reads a span: `2026-11-01,2026-11-20` ends with the last moment of the second day, `2026-11-01T00:00:00Z UTC,…` before the second moment;
  /// one moment alone begins a span without end.
  public init(_ text: String) throws {
    let wrong = FerryError(
      .invalid, "'\(text)' is no span", hint: "today, yesterday, 2026-11-01 or 2026-11-01,2026-11-20; or moments, as 2026-11-01T07:30:00Z")
    func bound(_ text: Substring) throws -> Bound {
      switch text {
      case "today": return .day(0)
      case "yesterday": return .day(-1)
      default:
        switch try? ZincReader.value(text) {
        case .date(let date): return .date(date)
        case .dateTime(let moment): return .moment(moment.nanoseconds)
        default: throw wrong
        }
      }
    }
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    guard let start = parts.first, parts.count <= 2 else { throw wrong }
    first = try bound(start)
    last = try parts.count == 2 ? bound(parts[1]) : nil
  }

  /// Its first moment in a zone, and the one behind its last; nil: it goes on.
  func moments(in zone: String, now: Int64) throws -> (start: Int64, end: Int64?) {
    let clock = try needsZone ? ZoneClock(zone) : nil
    func day(_ bound: Bound) -> Int? {
      switch bound {
      case .moment: nil
      case .date(let date): date.daysSinceEpoch
      case .day(let shift): clock.map { $0.day(of: now) + shift }
      }
    }
    func moment(_ bound: Bound, behind: Bool) -> Int64 {
      if case .moment(let moment) = bound { return moment }
      guard let day = day(bound), let clock else { return 0 }
      return clock.midnight(day + (behind ? 1 : 0))
    }
    let end: Int64?
    if let last { end = moment(last, behind: true) } else if case .moment = first { end = nil } else { end = moment(first, behind: true) }
    return (moment(first, behind: false), end)
  }

  private var needsZone: Bool {
    for bound in [first, last] {
      switch bound {
      case .day, .date: return true
      case .moment, nil: break
      }
    }
    return false
  }
}
