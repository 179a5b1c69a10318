import CLinux
import FerrySystem
import Glibc

/// Empties the queue of a watcher, on a thread of its own and when asked.
final class ChangeReader: Sendable {
  /// nil once it was stopped or failed.
  private let watcher: Lock<(any ChangeWatcher)?>
  private let draining = Lock(())
  private let buffer = Buffer()
  private let queue: Descriptor
  private let stopping: Descriptor
  private let ended = Signal()

  private final class Buffer: @unchecked Sendable {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 8)
    deinit { bytes.deallocate() }
  }

  init(_ watcher: any ChangeWatcher) throws {
    let number = clinux_eventfd()
    guard number >= 0 else { throw FerryError(errno: -number, "cannot make an event descriptor") }
    stopping = Descriptor(number)
    queue = watcher.queue
    self.watcher = Lock(watcher)
    Threads.detach { [self] in
      // Late by a tenth of a second on a busy machine, and the queue runs over. Only root gets this.
      setpriority(Int32(PRIO_PROCESS.rawValue), 0, -10)
      while waitForEvents(), consume() {}
      ended.raise()
    }
  }

  /// False when it is to end.
  private func waitForEvents() -> Bool {
    var polled = [
      pollfd(fd: stopping.number, events: Int16(POLLIN), revents: 0), pollfd(fd: queue.number, events: Int16(POLLIN), revents: 0),
    ]
    while poll(&polled, 2, -1) < 0 { guard errno == EINTR || errno == EAGAIN else { return false } }
    return polled[0].revents == 0
  }

  /// False when there is no point in going on.
  private func consume() -> Bool {
    guard let count = attempt({ try $0.consume(buffer.bytes) }) else { return false }
    guard count < 256 else { return true }
    // A file that is written piece by piece is one event as long as nobody has taken it from the queue.
    var polled = pollfd(fd: stopping.number, events: Int16(POLLIN), revents: 0)
    return poll(&polled, 1, 5) <= 0
  }

  func drain() -> TreeChanges {
    draining.withLock { _ in
      let taken = attempt { watcher in
        // What was changed before this call is in the queue by now. Who goes on to change things must not keep us here.
        let deadline = ContinuousClock.now + .seconds(10)
        while try watcher.consume(buffer.bytes) > 0, ContinuousClock.now < deadline {}
        return try watcher.take()
      }
      // Finding many paths takes a while, in which the queue would run over.
      return (try? taken?()) ?? TreeChanges(isComplete: false)
    }
  }

  func stop() {
    let wasRunning = watcher.withLock { watcher in
      defer { watcher = nil }
      return watcher != nil
    }
    guard wasRunning else { return }
    var one: UInt64 = 1
    write(stopping.number, &one, 8)
    ended.wait()
    queue.close()
  }

  /// What cannot be read once is not trusted any more.
  private func attempt<Value>(_ body: (any ChangeWatcher) throws -> Value) -> Value? {
    watcher.withLock { watcher in
      do { return try watcher.map(body) } catch {
        watcher = nil
        return nil
      }
    }
  }
}
