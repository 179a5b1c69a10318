import Ferry
import FerrySystem

/// Waits in the caller's thread for work of the engine, which is done on others.
func waited<Value: Sendable>(_ work: @escaping @Sendable () async throws -> Value) throws -> Value {
  let answer = Lock<Result<Value, any Error>?>(nil)
  let done = Signal()
  Task {
    let result: Result<Value, any Error>
    do { result = .success(try await work()) } catch { result = .failure(error) }
    answer.withLock { $0 = result }
    done.raise()
  }
  done.wait()
  guard let result = answer.withLock({ $0 }) else { throw FerryError(.internal, "the work ended without a result") }
  return try result.get()
}
