import Glibc

/// Blocking work on threads of its own. Nodes, agents and hosts wait for processes and sockets: a pool of a few threads would starve.
public enum Threads {
  /// Runs work on a new thread and returns at once.
  public static func detach(_ work: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 1 << 20)
    defer { pthread_attr_destroy(&attributes) }
    let box = Unmanaged.passRetained(Work(work))
    let failed = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
    if failed != 0 {
      box.release()
      work()
    }
  }

  /// Blocking work on a thread of its own, awaited.
  public static func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
      detach { continuation.resume(with: Result(catching: work)) }
    }
  }

  /// Maps in parallel, at most `limit` at once; results in the elements' order. Waits for all, then throws the first error by order.
  public static func map<Element: Sendable, Value: Sendable>(
    _ elements: [Element], limit: Int = .max, _ work: @escaping @Sendable (Element) throws -> Value
  ) throws -> [Value] {
    if elements.count <= 1 { return try elements.map(work) }
    let state = Lock((next: 0, results: [Result<Value, any Error>?](repeating: nil, count: elements.count)))
    let done = Signal()
    let workers = min(limit, elements.count)
    for _ in 0..<workers {
      detach {
        while true {
          let index = state.withLock { state in
            defer { state.next += 1 }
            return state.next
          }
          guard index < elements.count else { break }
          let result = Result { try work(elements[index]) }
          state.withLock { $0.results[index] = result }
        }
        done.raise()
      }
    }
    for _ in 0..<workers { done.wait() }
    return try state.withLock { try $0.results.compactMap { try $0?.get() } }
  }

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}

/// A counting semaphore.
public final class Signal: @unchecked Sendable {
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  /// Starts at zero.
  public init() { sem_init(semaphore, 0, 0) }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  /// Lets one waiter through, now or later.
  public func raise() { sem_post(semaphore) }

  /// Waits for a `raise`.
  public func wait() { while sem_wait(semaphore) != 0 {} }

  /// Waits for a `raise`, at most so long; says whether it came.
  public func wait(atMost duration: Duration) -> Bool {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let (seconds, fraction) = duration.components
    let nanoseconds = Int64(now.tv_nsec) + fraction / 1_000_000_000
    var deadline = timespec(tv_sec: now.tv_sec + Int(seconds + nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    while sem_timedwait(semaphore, &deadline) != 0 {
      if errno == ETIMEDOUT { return false }
    }
    return true
  }
}
