import FerrySystem
import FoundationEssentials
import Glibc

/// Runs hooks on the node that they are for.
public struct HookRunner: Sendable {
  private let folder: String

  /// `folder` is this end's folder in the node's record of the run: hooks are written there and run from there.
  public init(folder: String) { self.folder = folder }

  /// Runs them one after the other. Each reads `input`, with what those before it said laid over it, as JSON on stdin.
  ///
  /// Returns what they said on stdout, laid over each other. The first that fails ends it.
  public func run(
    _ hooks: [Hook], input: JSONValue, environment: [String: String] = [:], timeout: Duration,
    cancellation: Cancellation? = nil, onLog: @escaping @Sendable (String) -> Void
  ) throws -> JSONValue {
    var said: JSONValue = .object([:])
    for hook in hooks {
      do {
        said = said.merged(with: try run(hook, input.merged(with: said), environment, timeout, cancellation, onLog))
      } catch { throw FerryError.wrap(error).inside("hook \(hook.path)") }
    }
    return said
  }

  private func run(
    _ hook: Hook, _ input: JSONValue, _ environment: [String: String], _ timeout: Duration, _ cancellation: Cancellation?,
    _ onLog: @escaping @Sendable (String) -> Void
  ) throws -> JSONValue {
    let path = try write(hook)
    defer { unlink(path) }
    var command = Command([path], environment: environment.mapValues { $0 }, timeout: timeout)
    command.directory = Files.parent(of: path)
    command.input = .bytes(Array("\(input.text)\n".utf8))
    command.output = .capture(limit: Self.outputLimit + 1)
    command.errors = .lines(onLog)
    command.cancellation = cancellation
    let outcome = try start(command)
    if outcome.cancelled { throw FerryError(.cancelled, "ended because the run was cancelled") }
    if outcome.timedOut { throw FerryError(.retry, "not done within \(timeout.words), so it was ended", hint: Self.again) }
    guard outcome.code == 0 else { throw FerryError(.io, outcome.reason, hint: Self.again) }
    return try answer(outcome.output)
  }

  private static let outputLimit = 1 << 20
  private static let again = "mend it, then run again; a hook must bear being run twice"

  /// An executable of this node's own, for its user alone.
  private func write(_ hook: Hook) throws -> String {
    let bytes = Array(hook.content)
    guard SHA256.hex(bytes) == hook.digest else { throw FerryError(.peer, "arrived damaged: its digest differs") }
    guard !hook.name.contains("/") else { throw FerryError(.invalid, "its name is a path") }
    let path = "\(folder)/hooks/\(hook.name)"
    try Files.makeFolder(Files.parent(of: path))
    try Files.replace(path, with: bytes, mode: 0o700)
    return path
  }

  /// Another thread's child may hold the file open for writing between its fork and its exec: then it is busy for a moment.
  private func start(_ command: Command) throws -> Command.Outcome {
    for _ in 0..<100 {
      do { return try command.run() } catch let error as FerryError where error.message.hasSuffix(String(cString: strerror(ETXTBSY))) {
        usleep(10_000)
      }
    }
    return try command.run()
  }

  private func answer(_ output: String) throws -> JSONValue {
    guard output.utf8.count <= Self.outputLimit else { throw FerryError(.invalid, "said more than 1 MiB on stdout") }
    if output.allSatisfy(\.isWhitespace) { return .object([:]) }
    guard let value = try? JSONValue(parsing: output), value.object != nil else {
      let start = output.split(whereSeparator: \.isNewline).first ?? ""
      throw FerryError(
        .invalid, "stdout must be empty or one JSON object, but it begins with: \(start.prefix(80))", hint: "log to stderr (>&2) instead")
    }
    return value
  }
}
