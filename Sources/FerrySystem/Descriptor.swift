import CLinux
import Glibc

/// A file descriptor that is closed exactly once: by `close()`, or when nobody holds it any more.
public final class Descriptor: @unchecked Sendable {
  private let lock = Lock(Int32(-1))

  /// Takes over an open descriptor.
  public init(_ number: Int32) { lock.withLock { $0 = number } }

  deinit { close() }

  /// The number, or -1 after `close()`.
  public var number: Int32 { lock.withLock { $0 } }

  /// Closes it; a second call does nothing.
  public func close() {
    let number = lock.withLock { number in
      defer { number = -1 }
      return number
    }
    if number >= 0 { _ = Glibc.close(number) }
  }

  /// Gives the number away; this object no longer closes it.
  public func release() -> Int32 {
    lock.withLock { number in
      defer { number = -1 }
      return number
    }
  }

  /// Opens a path, close-on-exec.
  public static func open(_ path: String, _ flags: Int32, mode: UInt32 = 0o600) throws -> Descriptor {
    let number = clinux_open(path, flags, mode)
    guard number >= 0 else { throw FerryError(errno: -number, "cannot open \(path)") }
    return Descriptor(number)
  }

  /// A connected pair of stream sockets, close-on-exec.
  public static func socketPair() throws -> (Descriptor, Descriptor) {
    var pair: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
      throw FerryError(errno: errno, "cannot make a socket pair")
    }
    return (Descriptor(pair[0]), Descriptor(pair[1]))
  }

  /// A pipe, close-on-exec: its read end and its write end.
  public static func pipe() throws -> (read: Descriptor, write: Descriptor) {
    var pair: [Int32] = [-1, -1]
    let failed = clinux_pipe(&pair)
    guard failed >= 0 else { throw FerryError(errno: -failed, "cannot make a pipe") }
    return (Descriptor(pair[0]), Descriptor(pair[1]))
  }

  /// Writes all bytes, whatever it takes.
  public func write(_ bytes: [UInt8]) throws {
    var start = 0
    while start < bytes.count {
      let written = bytes.withUnsafeBytes { Glibc.write(number, $0.baseAddress?.advanced(by: start), bytes.count - start) }
      if written < 0 {
        if errno == EINTR { continue }
        throw FerryError(errno: errno, "cannot write")
      }
      start += written
    }
  }

  /// Reads what is there, at most `limit` bytes; empty at the end of the file.
  public func read(upTo limit: Int) throws -> [UInt8] {
    while true {
      var got = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
        got = Glibc.read(number, buffer.baseAddress, limit)
        count = max(got, 0)
      }
      if got >= 0 { return bytes }
      if errno != EINTR { throw FerryError(errno: errno, "cannot read") }
    }
  }
}

/// A value behind a mutex.
public final class Lock<Value>: @unchecked Sendable {
  private var value: Value
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

  /// Guards a value.
  public init(_ value: Value) {
    self.value = value
    pthread_mutex_init(mutex, nil)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  /// Runs a short piece of work that alone sees the value.
  public func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(&value)
  }
}
