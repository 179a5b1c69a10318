import FerrySystem
import Glibc

/// How a node is reached: starts `ferry` there with its stdin and stdout as a byte stream to us. One for each node and session, kept for
/// further streams.
protocol NodeTransport: Sendable {
  /// Starts `ferry ARGUMENTS` on the node and waits until it runs; bytes go both ways until either end closes. May be called from any thread.
  func start(_ arguments: [String]) throws -> NodeProcess

  /// Ends every stream, in the end by force.
  func close()
}

/// A `ferry` that runs on a node.
final class NodeProcess: Sendable {
  /// Both ways: `shutdown(SHUT_WR)` is the end of its stdin, the end of the file is the end of its stdout.
  let stream: Descriptor
  private let process: ChildProcess
  private let errors: ErrorTail
  private let ending = Lock<Int32?>(nil)
  private let ended = Signal()

  /// A local child process (`ferry` itself, or the ssh that leads to it) whose stdio is `stream`'s other end. `onEnd` is told once it has ended.
  init(_ process: ChildProcess, stream: Descriptor, errors: ErrorTail, onEnd: @escaping @Sendable () -> Void = {}) {
    self.process = process
    self.stream = stream
    self.errors = errors
    let exit = try? process.exitDescriptor()
    Threads.detach { [self] in
      var state = pollfd(fd: exit?.number ?? -1, events: Int16(POLLIN), revents: 0)
      while exit != nil, poll(&state, 1, -1) < 0 && errno == EINTR {}
      // Under the lock: from here on its number may be another's.
      ending.withLock { $0 = process.wait() }
      onEnd()
      ended.raise()
    }
  }

  /// Starts a local program with its stdio as a stream to us. Its stderr is kept for messages, and shown as well unless `quiet`.
  static func spawn(
    _ arguments: [String], environment: [String: String?] = [:], quiet: Bool, onEnd: @escaping @Sendable () -> Void = {}
  ) throws -> NodeProcess {
    let (mine, theirs) = try Descriptor.socketPair()
    let errors = try Descriptor.pipe()
    let child = try ChildProcess.spawn(
      arguments, environment: environment, descriptors: [0: theirs.number, 1: theirs.number, 2: errors.write.number])
    theirs.close()
    errors.write.close()
    return NodeProcess(child, stream: mine, errors: ErrorTail(errors.read, quiet: quiet), onEnd: onEnd)
  }

  /// Writes to its stdin. One that is gone is an error and no signal, whatever the embedding process does with signals.
  func send(_ bytes: [UInt8]) throws {
    guard bytes.withUnsafeBytes({ Sockets.send(stream.number, $0) }) else { throw FerryError(errno: errno, "cannot write to it") }
  }

  /// How it has ended, waiting a little for it: its exit code (nil: it has not ended) and the end of its stderr.
  func outcome(within patience: Duration = .seconds(5)) -> (code: Int32?, errors: String) {
    if ended.wait(atMost: patience) { ended.raise() }
    return (ending.withLock { $0 }, errors.text(within: .seconds(1)))
  }

  /// Ends the stream for both sides. The local process may stay: an ssh that others share ends with the last of them.
  func end() { _ = shutdown(stream.number, Int32(SHUT_RDWR)) }

  /// Ends the stream; a local process that has not ended after `grace` is killed, with its process group.
  func end(grace: Duration) {
    end()
    Threads.detach { [self] in
      if !ended.wait(atMost: grace) { kill() }
      ended.raise()
    }
  }

  /// Kills the local process and its group.
  func kill() {
    ending.withLock { if $0 == nil { process.signalGroup(SIGKILL) } }
  }
}

/// The last words of a process: the end of its stderr.
final class ErrorTail: Sendable {
  private let kept = Lock<[UInt8]>([])
  private let ended = Signal()

  /// Reads on a thread of its own until the other end is closed.
  init(_ input: Descriptor, quiet: Bool) {
    Threads.detach { [self] in
      while let bytes = try? input.read(upTo: 4096), !bytes.isEmpty {
        if !quiet { try? Descriptor.standardError(bytes) }
        kept.withLock { $0 = Array(($0 + bytes).suffix(8192)) }
      }
      input.close()
      ended.raise()
    }
  }

  /// What came, waiting a little for its end.
  func text(within patience: Duration) -> String {
    if ended.wait(atMost: patience) { ended.raise() }
    return kept.withLock { String(decoding: $0, as: UTF8.self) }
  }
}

extension Descriptor {
  fileprivate static func standardError(_ bytes: [UInt8]) throws {
    let error = Descriptor(2)
    defer { _ = error.release() }
    try error.write(bytes)
  }
}

extension NodeSpec {
  /// The transport to this node.
  func transport(_ configuration: Engine.Configuration) throws -> any NodeTransport {
    if node == "local" { return LocalTransport(self, configuration: configuration) }
    return try SSHTransport(self, configuration: configuration)
  }
}
