import CFerry
import FerrySystem
import Glibc

/// The inside of a host process: takes requests from the node and calls the provider on the process's first thread, one call at a time.
final class PluginHost: @unchecked Sendable {
  private enum Job {
    case start(HostInstructions)
    case call(HostCall, [Descriptor])
    case end
  }
  private struct Queue {
    var jobs: [(job: Job, done: Signal, answer: Lock<HostAnswer>)] = []
    /// The number of the call that runs now, and of the last one that was cancelled.
    var running = 0
    var cancelled = 0
    /// Used by the first thread, and by `cancel` under the lock.
    var instance: (any HostedInstance)?
  }

  private let queue = Lock(Queue())
  private let arrived = Signal()
  private let line: LineConnection

  init(_ line: LineConnection) { self.line = line }

  /// Serves until the node says `end`. If the node goes away, everything here ends at once.
  func run() -> Never {
    let connection = RPCConnection(line, to: "the node") { [self] method, params in
      let number = Int(params["number"]?.int ?? 0)
      if method == HostMethod.cancel { cancel(number) }
      // Under the lock, as there.
      if method == HostMethod.windUp { queue.withLock { if $0.running == number { $0.instance?.windUp() } } }
    } handler: { [self] method, params, descriptors in
      switch method {
      case HostMethod.start: try perform(.start(params.decode()))
      case HostMethod.call: try perform(.call(params.decode(), descriptors))
      case HostMethod.end: try perform(.end)
      default: throw FerryError(.unsupported, "a host has no method '\(method)'")
      }
    }
    Threads.detach {
      connection.serve()
      Sessions.killOwn()
    }
    while true {
      arrived.wait()
      guard let next = queue.withLock({ $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }) else { continue }
      let answer = work(next.job, connection)
      next.answer.withLock { $0 = answer }
      next.done.raise()
      // The node ends this process once it has the answer.
      if case .end = next.job { while true { pause() } }
    }
  }

  private func perform(_ job: Job) throws -> JSONValue {
    let done = Signal()
    let answer = Lock(HostAnswer())
    queue.withLock { $0.jobs.append((job, done, answer)) }
    arrived.raise()
    done.wait()
    return try JSONValue(encoding: answer.withLock { $0 })
  }

  private func work(_ job: Job, _ connection: RPCConnection) -> HostAnswer {
    do {
      switch job {
      case .start(let instructions):
        let plugin = try instructions.file.load()
        let created = try plugin.instance(instructions, try HostServices(instructions, connection))
        queue.withLock { $0.instance = created }
        return HostAnswer(reply: [:])
      case .call(let call, let channels):
        guard let instance = queue.withLock({ $0.instance }) else { throw FerryError(.internal, "the host was not started") }
        let isCancelled = queue.withLock { queue in
          queue.running = call.number
          return queue.cancelled == call.number
        }
        defer { queue.withLock { $0.running = 0 } }
        if isCancelled { throw FerryError(.cancelled, "\(call.call.rawValue) was cancelled") }
        return HostAnswer(reply: try instance.perform(call, channels))
      case .end:
        let old = queue.withLock { queue in
          defer { queue.instance = nil }
          return queue.instance
        }
        old?.destroy()
        return HostAnswer(reply: [:])
      }
    } catch {
      return HostAnswer(error: FerryError.wrap(error))
    }
  }

  /// Repeats itself until the call is over: the first request may come before the provider has begun to listen.
  private func cancel(_ number: Int) {
    queue.withLock { $0.cancelled = number }
    Threads.detach { [self] in
      let pause = Signal()
      var again = true
      while again {
        // Under the lock: the call cannot be counted as over, and the instance be destroyed, while it is asked.
        again = queue.withLock { queue in
          guard queue.running == number, let instance = queue.instance else { return false }
          // A provider that cannot be asked to end is ended.
          if !instance.cancel() { Sessions.killOwn() }
          return true
        }
        if again { _ = pause.wait(atMost: .milliseconds(200)) }
      }
    }
  }
}
