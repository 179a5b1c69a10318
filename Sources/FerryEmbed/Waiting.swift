import Ferry
import FerrySystem

/// What threads wait for and may be interrupted in, by engine.
private let waiting = Lock<[ObjectIdentifier: Set<Task<Void, Never>>]>([:])

/// Ends what threads wait for on this engine: their calls fail with `cancelled`.
func interrupt(_ engine: Engine) {
  for task in waiting.withLock({ $0[ObjectIdentifier(engine)] ?? [] }) { task.cancel() }
}

/// Waits in the caller's thread for work of the engine, which is done on others; with `on`, until it is done or that engine is interrupted.
func waited<Value: Sendable>(on engine: Engine? = nil, _ work: @escaping @Sendable () async throws -> Value) throws -> Value {
  let answer = Lock<Result<Value, any Error>?>(nil)
  let done = Signal()
  let task = Task {
    let result: Result<Value, any Error>
    do { result = .success(try await work()) } catch { result = .failure(error) }
    answer.withLock { $0 = result }
    done.raise()
  }
  let key = engine.map { ObjectIdentifier($0) }
  if let key { waiting.withLock { _ = $0[key, default: []].insert(task) } }
  done.wait()
  if let key {
    waiting.withLock { waiting in
      waiting[key]?.remove(task)
      if waiting[key]?.isEmpty == true { waiting[key] = nil }
    }
  }
  guard let result = answer.withLock({ $0 }) else { throw FerryError(.internal, "the work ended without a result") }
  return try result.get()
}
