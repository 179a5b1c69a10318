import FerrySystem
import Haystack

/// A source that is read on a thread of its own, some batches ahead of who takes its records: while those are written the next are read.
struct ReadAhead<Source: RecordSource>: RecordSource {
  private let source: Source

  init(_ source: Source) { self.source = source }

  func forEach(_ body: (PackedDict) throws -> Void) throws {
    let belt = Belt()
    // It is that thread's until it says that it is done, and we wait for that.
    nonisolated(unsafe) let source = source
    Threads.detach {
      belt.end(Result { try Self.read(source, belt) })
    }
    do {
      while let batch = try belt.take() { for record in batch { try body(record) } }
    } catch {
      belt.abandon()
      throw error
    }
  }

  private static func read(_ source: Source, _ belt: Belt) throws {
    var batch: [PackedDict] = []
    var bytes = 0
    try source.forEach { record in
      batch.append(record)
      bytes += record.bytes.count
      guard bytes >= 1 << 17 else { return }
      try belt.put(batch)
      batch = []
      bytes = 0
    }
    if !batch.isEmpty { try belt.put(batch) }
  }
}

/// What lies between the two: a few batches, then whether it came to a good end.
private final class Belt: Sendable {
  private struct State {
    var batches: [[PackedDict]] = []
    var end: Result<Void, any Error>?
    var isAbandoned = false
  }
  private let state = Lock(State())
  private let room = Signal()
  private let news = Signal()

  init() { for _ in 0..<4 { room.raise() } }

  func put(_ batch: [PackedDict]) throws {
    room.wait()
    try state.withLock { state in
      if state.isAbandoned { throw FerryError(.cancelled, "nobody takes the records any more") }
      state.batches.append(batch)
    }
    news.raise()
  }

  func end(_ result: Result<Void, any Error>) {
    state.withLock { $0.end = result }
    news.raise()
  }

  /// The next batch; nil after the last.
  func take() throws -> [PackedDict]? {
    news.wait()
    let batch = try state.withLock { state in
      if state.batches.isEmpty { try state.end?.get() }
      return state.batches.isEmpty ? nil : state.batches.removeFirst()
    }
    if batch != nil { room.raise() }
    return batch
  }

  /// Lets the reader stop, and waits until it has.
  func abandon() {
    state.withLock { state in
      state.isAbandoned = true
      state.batches.removeAll()
    }
    room.raise()
    while state.withLock({ $0.end == nil }) { news.wait() }
  }
}
