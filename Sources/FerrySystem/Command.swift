import CLinux
import Glibc

/// A program to run. A value that can be read before it is run: what, where, for how long, and how it is ended.
public struct Command: Sendable {
  /// What the program reads.
  public enum Input: Sendable {
    case null
    case bytes([UInt8])
    case descriptor(Int32)
  }
  /// Where an output goes.
  public enum Output: Sendable {
    /// Kept in memory; past the limit only the end is kept.
    case capture(limit: Int)
    /// Each line, without its end, as it comes; the end of the output is kept as with `capture`.
    case lines(@Sendable (String) -> Void)
    case descriptor(Int32)
  }

  /// The program, looked up in PATH unless it holds a slash, and its arguments.
  public var arguments: [String]
  /// Added to this process's environment; nil takes a variable away.
  public var environment: [String: String?] = [:]
  /// Working folder, or this process's; another user's command begins in their home.
  public var directory: String?
  /// As whom it runs: as this process does, unless told. Only root can run another user's.
  public var account: Account?
  /// What it reads; `/dev/null` unless told.
  public var input: Input = .null
  /// Where its output goes.
  public var output: Output = .capture(limit: 1 << 20)
  /// Where its errors go; the last 4 KiB are kept in any case but `descriptor`.
  public var errors: Output = .capture(limit: 4096)
  /// More descriptors for the program: its number to ours.
  public var descriptors: [Int32: Int32] = [:]
  /// Ended after this long. nil: never.
  public var timeout: Duration?
  /// Between the request to end (SIGTERM to its process group) and SIGKILL.
  public var grace: Duration = .seconds(5)
  /// Ends it from another thread.
  public var cancellation: Cancellation?
  /// Ends it as its time-out would: who watches it has seen that it will not come to an end.
  public var surrender: Cancellation?

  /// A command with the defaults.
  public init(_ arguments: [String], environment: [String: String?] = [:], timeout: Duration? = nil) {
    self.arguments = arguments
    self.environment = environment
    self.timeout = timeout
  }

  /// How a program ended.
  public struct Outcome: Sendable {
    /// The exit code, or 128 + the signal that ended it.
    public var code: Int32
    /// Whether the time-out, or whoever watched it, ended it.
    public var timedOut = false
    /// Whether the cancellation ended it.
    public var cancelled = false
    /// What was captured of its output.
    public var output = ""
    /// What was captured of its errors.
    public var errors = ""
    /// The last line of its errors that says something, or how it ended.
    public var reason: String {
      if timedOut { return "did not end in time" }
      if cancelled { return "was ended" }
      let last = errors.split(whereSeparator: \.isNewline).last(where: { !$0.allSatisfy(\.isWhitespace) })
      let ending = code > 128 && code < 160 ? "ended by signal \(code - 128)" : "exit code \(code)"
      return last.map { "\(ending): \($0)" } ?? ending
    }
    /// Whether it ended by itself with exit code 0.
    public var succeeded: Bool { code == 0 && !timedOut && !cancelled }
  }

  /// Runs the program and waits for it. Throws only if it cannot be started.
  public func run() throws -> Outcome {
    var open: [Descriptor] = []
    func endpoint(_ output: Output) throws -> (child: Int32, reader: Descriptor?) {
      if case .descriptor(let number) = output { return (number, nil) }
      let pipe = try Descriptor.pipe()
      open.append(pipe.write)
      return (pipe.write.number, pipe.read)
    }
    let standardOutput = try endpoint(output)
    let standardErrors = try endpoint(errors)
    var writer: Descriptor?
    let standardInput: Int32
    switch input {
    case .descriptor(let number): standardInput = number
    case .null:
      let null = try Descriptor.open("/dev/null", O_RDWR)
      open.append(null)
      standardInput = null.number
    case .bytes:
      let pipe = try Descriptor.pipe()
      open.append(pipe.read)
      writer = pipe.write
      standardInput = pipe.read.number
    }
    // The thread that starts it also waits for it, so the kernel may tie the two: a killed parent leaves no commands behind.
    let process = try ChildProcess.spawn(
      arguments, environment: environment, directory: directory, account: account,
      descriptors: descriptors.merging([0: standardInput, 1: standardOutput.child, 2: standardErrors.child]) { _, own in own },
      ties: .thread)
    open.forEach { $0.close() }
    var loop = CommandLoop(command: self, process: process, writer: writer, output: standardOutput.reader, errors: standardErrors.reader)
    return try loop.run()
  }
}

/// Ends commands, or anything else that waits, from another thread.
public final class Cancellation: @unchecked Sendable {
  private let event: Descriptor

  /// Not cancelled yet.
  public init() { event = Descriptor(clinux_eventfd()) }

  /// Readable from the moment of cancellation on.
  public var descriptor: Int32 { event.number }

  /// Cancels. May be called from any thread, and more than once.
  public func cancel() {
    var one: UInt64 = 1
    _ = Glibc.write(event.number, &one, 8)
  }

  /// Whether `cancel` was called.
  public var isCancelled: Bool {
    var state = pollfd(fd: event.number, events: Int16(POLLIN), revents: 0)
    return poll(&state, 1, 0) == 1
  }
}
