import Ferry
import Glibc
import Synchronization

/// Waits in the main thread for work of the engine, and hears Ctrl-C meanwhile.
enum Foreground {
  /// Where a signal handler rings: it may touch nothing but plain memory and system calls.
  nonisolated(unsafe) private static var bell: Int32 = -1
  /// What is written to the bell.
  private static var signalled: UInt8 { 1 }
  private static var finished: UInt8 { 2 }

  /// Runs work to its end. With `onInterrupt`, each SIGINT or SIGTERM calls it with its number, from 1, and the first cancels the work;
  /// without it a signal ends the process as usual.
  static func wait<Value: Sendable>(
    onInterrupt: ((Int) -> Void)? = nil, _ work: @escaping @Sendable () async throws -> Value
  ) throws -> Value {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw FerryError(.io, "cannot make a pipe: \(String(cString: strerror(errno)))") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    bell = ends[1]
    let answer = Answer<Value>()
    let task = Task {
      do { answer.set(.success(try await work())) } catch { answer.set(.failure(error)) }
      ring(finished)
    }
    if onInterrupt != nil { listen() }
    defer { if onInterrupt != nil { for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) } } }
    var signals = 0
    while true {
      var byte: UInt8 = 0
      guard read(ends[0], &byte, 1) == 1 else { continue }
      if byte == finished { return try answer.get() }
      signals += 1
      if signals == 1 { task.cancel() }
      onInterrupt?(signals)
    }
  }

  private static func listen() {
    for number in [SIGINT, SIGTERM] { signal(number) { _ in Foreground.ring(Foreground.signalled) } }
  }

  private static func ring(_ what: UInt8) {
    let saved = errno
    var byte = what
    _ = write(bell, &byte, 1)
    errno = saved
  }
}

/// The result of work, handed from its task to the main thread.
private final class Answer<Value: Sendable>: Sendable {
  private let value = Mutex<Result<Value, any Error>?>(nil)

  func set(_ result: Result<Value, any Error>) { value.withLock { $0 = result } }

  func get() throws -> Value {
    guard let result = value.withLock({ $0 }) else { throw FerryError(.internal, "the work ended without a result") }
    return try result.get()
  }
}
