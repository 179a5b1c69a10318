import FerrySystem

extension Engine {
  /// What a session of a run is to do.
  public enum Work: Sendable {
    /// Begin a run and take it to its end.
    case run(Manifest, RunOptions = RunOptions())
    /// The source's half of a deferred run: its receipt names what was stored.
    case transfer(Manifest, RunOptions = RunOptions())
    /// The destination's half: what is stored is fetched, proven and brought into service.
    case receive(Manifest, Stored, RunOptions = RunOptions())
    /// Go on with a run that was interrupted.
    case resume(String)
    /// Undo a run: the source serves as before, nothing is left at the destination. Refused once the destination serves, unless what it has
    /// accepted may be discarded.
    case rollback(String, discardDestinationWrites: Bool = false)
  }

  /// A run that this process takes to its end, on threads of its own. Its events are pulled: by a thread with `next`, by a task with `events`, or
  /// by an event loop that polls `descriptor`. Dropping it lets the run go on.
  public final class Session: Sendable {
    /// The run's full id.
    public let run: String
    private let queue: EventQueue
    private let cancellation = Cancellation()
    private let outcome = Lock<Result<RunResult, any Error>?>(nil)
    private let ended = Signal()

    fileprivate init(_ run: String, _ work: @escaping @Sendable (Cancellation, @escaping @Sendable (Event) -> Void) throws -> RunResult)
      throws
    {
      self.run = run
      queue = try EventQueue()
      Threads.detach { [queue, cancellation, outcome, ended] in
        let result = Result { try work(cancellation) { queue.add($0) } }
        outcome.withLock { $0 = result }
        queue.finish()
        ended.raise()
      }
    }

    /// The events from now on, each to one reader; the sequence ends with the session, or when its task is cancelled. That does not cancel
    /// the run: `cancel` does.
    public var events: Events { Events(queue: queue) }

    /// The next event, waiting for it in this thread, at most so long. nil: none came in time, or the session is over. Progress that newer
    /// progress has overtaken is left out.
    public func next(atMost patience: Duration? = nil) -> Event? { queue.next(atMost: patience) }

    /// Readable while `next` has something to say, the session's end among it. Only to be polled.
    public var descriptor: Int32 { queue.descriptor }

    /// Whether the session has ended and all of its events were fetched.
    public var isOver: Bool { queue.isOver }

    /// Asks the run to go back. Returns at once; its events and its result tell.
    public func cancel() { cancellation.cancel() }

    /// Waits in this thread for the session's end. Throws only if it could not take the run up; how a run has ended is in the result.
    public func wait() throws -> RunResult {
      ended.wait()
      ended.raise()
      guard let outcome = outcome.withLock({ $0 }) else { throw FerryError(.internal, "the session of run \(run) ended without a result") }
      return try outcome.get()
    }

    /// The same for a task; that one's cancellation does not cancel the run.
    public var result: RunResult {
      get async throws { try await Threads.run { try self.wait() } }
    }
  }

  /// The events of a session.
  public struct Events: AsyncSequence, Sendable {
    fileprivate let queue: EventQueue

    /// Fetches one event after another.
    public struct AsyncIterator: AsyncIteratorProtocol {
      fileprivate let queue: EventQueue
      /// The next event; nil when the session is over, or the task cancelled.
      public mutating func next() async -> Event? { await queue.next() }
    }
    /// One more reader.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(queue: queue) }
  }

  /// Begins work on a run and returns as soon as the journal has it. Throws if no run could begin.
  public func start(_ work: Work) throws -> Session {
    let (id, intention) = try prepare(work)
    return try Session(id) { [self] cancellation, handler in try take(id, intention, cancellation, handler) }
  }

  /// Does the work; cancelling the task cancels the run. `onEvent` is called on threads of the run.
  func perform(_ work: Work, _ onEvent: @escaping @Sendable (Event) -> Void) async throws -> RunResult {
    let (id, intention) = try prepare(work)
    let cancellation = Cancellation()
    return try await withTaskCancellationHandler {
      try await Threads.run { try self.take(id, intention, cancellation, onEvent) }
    } onCancel: {
      cancellation.cancel()
    }
  }

  private func take(
    _ id: String, _ intention: RunSession.Intention, _ cancellation: Cancellation, _ handler: @escaping @Sendable (Event) -> Void
  ) throws -> RunResult {
    try RunSession(configuration: configuration, journal: journal, cancellation: cancellation, handler: handler).take(id, intention)
  }

  private func prepare(_ work: Work) throws -> (run: String, RunSession.Intention) {
    switch work {
    case .run(let manifest, let options): (try begin(manifest, options: options), .forward)
    case .transfer(let manifest, let options): (try begin(deferrable(manifest), options: options.transferring), .forward)
    case .receive(let manifest, let stored, let options): (try begin(deferrable(manifest), options: options.receiving(stored)), .forward)
    case .resume(let run): (try find(run).id, .forward)
    case .rollback(let run, let discard): (try find(run).id, .back(.init(discardDestinationWrites: discard)))
    }
  }
}
