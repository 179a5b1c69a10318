import FerrySystem
import Glibc

/// Something that a sending lane does on its own.
enum SendWork {
  /// A folder: its entries and itself; those below become work of their own.
  case folder([UInt8])
  /// Some names of a folder, each with a byte of length before. `listed`: they were there a moment ago.
  case part(folder: [UInt8], names: [UInt8], listed: Bool)
  /// A large file.
  case file(folder: [UInt8], name: [UInt8])
  /// A folder's own metadata.
  case itself([UInt8])
}

/// What is still to be done: last in, first out, so that it stays short.
final class SendStack: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var waiting: [SendWork] = []
  private var busy = 0
  private var isEnded = false

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }
  deinit {
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(changed)
    mutex.deallocate()
    changed.deallocate()
  }

  func push(_ work: SendWork) {
    pthread_mutex_lock(mutex)
    waiting.append(work)
    pthread_cond_signal(changed)
    pthread_mutex_unlock(mutex)
  }

  /// The next piece for a lane that has done its last one; nil when nothing is left and no lane can bring more.
  func next(afterOne: Bool) -> SendWork? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if afterOne { busy -= 1 }
    while true {
      if isEnded { return nil }
      if let work = waiting.popLast() {
        busy += 1
        return work
      }
      if busy == 0 {
        isEnded = true
        pthread_cond_broadcast(changed)
        return nil
      }
      pthread_cond_wait(changed, mutex)
    }
  }

  /// There is more to do after all.
  func restart(_ work: SendWork) {
    isEnded = false
    busy = 0
    push(work)
  }

  /// Everybody stops.
  func end() {
    pthread_mutex_lock(mutex)
    isEnded = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }
}
