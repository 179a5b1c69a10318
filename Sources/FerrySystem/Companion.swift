/// A program that runs beside the work of this process. It says in one line that it is ready, and where; it ends when its standard input
/// closes, which it does with this object, or with this process.
public final class Companion: Sendable {
  /// The line.
  public let line: String
  private let life: Descriptor

  /// Starts it and waits for the line. `name` is what errors call it.
  public init(_ command: Command, name: String, within limit: Duration = .seconds(900)) throws {
    let pipe = try Descriptor.pipe()
    life = pipe.write
    let ready = Signal()
    let said = Lock<String?>(nil)
    let failure = Lock("it was not ready in time")
    let input = pipe.read
    var command = command
    command.input = .descriptor(input.number)
    command.output = .lines { line in
      let isFirst = said.withLock { said in
        defer { said = said ?? line }
        return said == nil
      }
      if isFirst { ready.raise() }
    }
    let running = command
    Threads.detach {
      let outcome = withExtendedLifetime(input) { try? running.run() }
      failure.withLock { $0 = outcome?.reason ?? "it could not be started" }
      ready.raise()
    }
    guard ready.wait(atMost: limit), let line = said.withLock({ $0 }), !line.isEmpty else {
      throw FerryError(.internal, "\(name) did not start: \(failure.withLock { $0 })")
    }
    self.line = line
  }
}
