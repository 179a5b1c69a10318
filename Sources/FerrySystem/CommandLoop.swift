import CLinux
import Glibc

/// Feeds one running command, reads what it says and sees to its end.
struct CommandLoop {
  let command: Command
  let process: ChildProcess
  var writer: Descriptor?
  var output: Descriptor?
  var errors: Descriptor?
  private var outputText: CapturedText
  private var errorText: CapturedText
  private var unwritten: ArraySlice<UInt8> = []

  init(command: Command, process: ChildProcess, writer: Descriptor?, output: Descriptor?, errors: Descriptor?) {
    self.command = command
    self.process = process
    self.writer = writer
    self.output = output
    self.errors = errors
    outputText = CapturedText(command.output)
    errorText = CapturedText(command.errors)
    if case .bytes(let bytes) = command.input { unwritten = bytes[...] }
    for end in [writer, output, errors] { if let end { _ = clinux_set_nonblocking(end.number, 1) } }
  }

  mutating func run() throws -> Command.Outcome {
    let exit = try process.exitDescriptor()
    var outcome = Command.Outcome(code: 0)
    var deadline = command.timeout.map { ContinuousClock.now + $0 }
    var ending = false
    if unwritten.isEmpty { endInput() }
    while true {
      var states = [pollfd(fd: exit.number, events: Int16(POLLIN), revents: 0)]
      states.append(pollfd(fd: ending ? -1 : (command.cancellation?.descriptor ?? -1), events: Int16(POLLIN), revents: 0))
      states.append(pollfd(fd: output?.number ?? -1, events: Int16(POLLIN), revents: 0))
      states.append(pollfd(fd: errors?.number ?? -1, events: Int16(POLLIN), revents: 0))
      states.append(pollfd(fd: writer?.number ?? -1, events: Int16(POLLOUT), revents: 0))
      states.append(pollfd(fd: ending ? -1 : (command.surrender?.descriptor ?? -1), events: Int16(POLLIN), revents: 0))
      let ready = poll(&states, nfds_t(states.count), deadline.map { ContinuousClock.now.duration(to: $0).inMilliseconds } ?? -1)
      if ready < 0 && errno != EINTR { throw FerryError(errno: errno, "cannot wait for \(command.arguments[0])") }
      if states[2].revents != 0 { drain(&output, &outputText) }
      if states[3].revents != 0 { drain(&errors, &errorText) }
      if states[4].revents != 0 { feed() }
      if states[0].revents != 0 { break }
      if states[1].revents != 0 { outcome.cancelled = true }
      if states[5].revents != 0, !outcome.cancelled { outcome.timedOut = true }
      if let now = deadline, ContinuousClock.now >= now, !outcome.cancelled || ending {
        if ending {
          process.signalGroup(SIGKILL)
          deadline = nil
          continue
        }
        outcome.timedOut = true
      }
      if (outcome.cancelled || outcome.timedOut) && !ending {
        ending = true
        process.signalGroup(SIGTERM)
        deadline = ContinuousClock.now + command.grace
      }
    }
    // A daemon that it started may hold the pipes open for ever: take what is there and let go.
    drain(&output, &outputText)
    drain(&errors, &errorText)
    outcome.code = process.wait()
    if ending { process.signalGroup(SIGKILL) }
    outcome.output = outputText.finish()
    outcome.errors = errorText.finish()
    return outcome
  }

  private mutating func feed() {
    guard let end = writer else { return }
    while !unwritten.isEmpty {
      let written = withoutPipeSignal { unwritten.withUnsafeBytes { Glibc.write(end.number, $0.baseAddress, $0.count) } }
      if written < 0 {
        // A program that ends without reading everything is no error of ours; its exit code tells.
        if errno == EAGAIN || errno == EINTR { return }
        break
      }
      unwritten = unwritten.dropFirst(written)
    }
    endInput()
  }

  /// Closed outright: the caller may still hold a reference, and a program that reads to the end would wait for ever.
  private mutating func endInput() {
    writer?.close()
    writer = nil
  }

  private func drain(_ end: inout Descriptor?, _ text: inout CapturedText) {
    guard let descriptor = end else { return }
    for _ in 0..<64 {
      guard let bytes = try? descriptor.read(upTo: 65536) else { return }
      if bytes.isEmpty {
        end = nil
        return
      }
      text.append(bytes)
      if bytes.count < 4096 { return }
    }
  }
}

/// The end of what a program said, and each of its lines on the way.
private struct CapturedText {
  private let limit: Int
  private let handler: (@Sendable (String) -> Void)?
  private var kept: [UInt8] = []
  private var line: [UInt8] = []

  init(_ output: Command.Output) {
    switch output {
    case .capture(let limit): (self.limit, handler) = (limit, nil)
    case .lines(let handler): (limit, self.handler) = (4096, handler)
    case .descriptor: (limit, handler) = (0, nil)
    }
  }

  mutating func append(_ bytes: [UInt8]) {
    kept.append(contentsOf: bytes)
    if kept.count > 2 * limit { kept.removeFirst(kept.count - limit) }
    guard let handler else { return }
    for byte in bytes {
      // rsync and others rewrite a line with a carriage return: each state of it is a line here.
      if byte == 10 || byte == 13 {
        if !line.isEmpty { handler(String(decoding: line, as: UTF8.self)) }
        line.removeAll(keepingCapacity: true)
      } else if line.count < 8192 {
        line.append(byte)
      }
    }
  }

  mutating func finish() -> String {
    if let handler, !line.isEmpty { handler(String(decoding: line, as: UTF8.self)) }
    line = []
    return String(decoding: kept.suffix(limit), as: UTF8.self)
  }
}

/// Writes to a pipe whose reader may be gone: an error here and no SIGPIPE, whatever the embedding process does with signals.
private func withoutPipeSignal(_ write: () -> Int) -> Int {
  var pipe = sigset_t()
  var before = sigset_t()
  sigemptyset(&pipe)
  sigaddset(&pipe, SIGPIPE)
  pthread_sigmask(SIG_BLOCK, &pipe, &before)
  let written = write()
  let code = errno
  if written < 0 && code == EPIPE && sigismember(&before, SIGPIPE) == 0 {
    // Raised for this thread: taken off before the signal is let in again.
    var now = timespec()
    _ = sigtimedwait(&pipe, nil, &now)
  }
  pthread_sigmask(SIG_SETMASK, &before, nil)
  errno = code
  return written
}
