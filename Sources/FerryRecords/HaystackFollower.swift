import FerrySystem
import Haystack

/// Keeps a mirror what a filter finds at a server of anybody's: by reading it, and between two readings by a watch, where the server has such.
///
/// A watch tells of changes and not of what comes or goes, so readings go on beside it; and whatever a watch leaves open is answered by one.
/// For one thread.
public final class HaystackFollower {
  /// How a refresh came by what it found.
  public enum Way: Sendable, Hashable { case none, read, watched }

  private let client: HaystackClient
  private let mirror: Mirror
  private let note: (String) -> Void
  /// What readings may take of the time, as its inverse: without a watch, and with one.
  private let rest: (alone: Int, watched: Int)
  private let lease: Duration
  private var watch: HaystackWatch?
  private var lastRead: (filter: Filter, ended: ContinuousClock.Instant, took: Duration)?
  /// Not tried again before this: a server that has no watches will hardly get some.
  private var noWatchUntil: ContinuousClock.Instant?

  /// The most records that are watched: readings see the others.
  private static let most = 20_000

  /// Follows what a server has, asked every so often. `readings`: without a watch, and with one, readings take at most one part in so many of
  /// the time.
  public init(
    _ client: HaystackClient, mirror: Mirror, every interval: Duration = .seconds(3), readings: (alone: Int, watched: Int) = (10, 50),
    note: @escaping (String) -> Void = { _ in }
  ) {
    (self.client, self.mirror, self.note) = (client, mirror, note)
    lease = max(.seconds(120), interval * 4)
    rest = readings
  }

  /// Lets the server forget the watch. Where nobody says so its lease ends by itself.
  public func close() { forgetWatch() }

  /// How many records the server watches for us.
  public var watched: Int { watch?.ids.count ?? 0 }

  /// Brings the mirror up to date. `isUrgent`: with all that the server has now, by reading it. What fails changes nothing. `onward` is told what
  /// a first reading reads.
  @discardableResult public func refresh(
    _ filter: String, isUrgent: Bool, onward: RecordOutlet? = nil, progress: (Int) -> Void = { _ in }
  ) throws -> Way {
    guard !isUrgent, let lastRead, lastRead.filter.text == filter else {
      if lastRead?.filter.text != filter { forgetWatch() }
      try read(Filter(filter), watches: !isUrgent, onward, progress)
      return .read
    }
    if lastRead.ended.duration(to: .now) >= lastRead.took * (watch == nil ? rest.alone : rest.watched) {
      try read(lastRead.filter, watches: true, nil, progress)
      return .read
    }
    guard let watch else { return .none }
    var rows: [PackedDict] = []
    var isOpen = true
    do { try watch.poll { rows.append($0) } } catch let error as FerryError where error.class != .cancelled {
      // Its lease is over, or the server was started anew: who knows what was missed.
      note("the server's watch is gone (\(error.message)); reading all again")
      isOpen = false
    }
    if isOpen, try mirror.merge(rows, filter: lastRead.filter) { return rows.isEmpty ? .none : .watched }
    if !isOpen { forgetWatch() }
    try read(lastRead.filter, watches: true, nil, progress)
    return .read
  }

  private func forgetWatch() {
    watch?.close()
    watch = nil
  }

  private func read(_ filter: Filter, watches: Bool, _ onward: RecordOutlet?, _ progress: (Int) -> Void) throws {
    let began = ContinuousClock.now
    var ids: [String] = []
    try mirror.refresh(HaystackQuery(client, filter: filter.text), onward: onward) { count, record in
      if watches, count <= Self.most, let id = Mirror.id(record) { ids.append(id) }
      progress(count)
    }
    lastRead = (filter, .now, began.duration(to: .now))
    if watches { try subscribe(ids, filter) }
  }

  /// Lets the server watch what was read. The watch begins after the reading, so what changed in between comes with its answer.
  private func subscribe(_ ids: [String], _ filter: Filter) throws {
    if let noWatchUntil, noWatchUntil > .now { return }
    let watch = watch ?? HaystackWatch(client, lease: lease)
    guard ids.contains(where: { !watch.ids.contains($0) }) else { return }
    var rows: [PackedDict] = []
    do {
      if try !watch.add(ids, { rows.append($0) }) {
        noWatchUntil = .now + .seconds(900)
        note("the server watches \(watch.ids.count) of \(ids.count) records; the others are read")
      }
    } catch let error as FerryError where error.class == .peer || error.class == .auth {
      noWatchUntil = .now + .seconds(900)
      return note("the server does not let its records be watched (\(error.message)); they are read")
    }
    self.watch = watch
    // What does not match any more is seen by the next reading, which is then due.
    if try !mirror.merge(rows, filter: filter) { lastRead?.took = .zero }
  }
}
