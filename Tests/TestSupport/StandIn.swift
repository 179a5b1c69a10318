import FerrySystem
import Glibc

/// A server that stands in for something, from a script of this repository. It says in one line where it is, and ends with this object, or with
/// this process: its standard input closes.
public final class StandIn: Sendable {
  /// The line.
  public let line: String
  /// Its files.
  public let folder: TemporaryFolder
  private let life: Descriptor

  /// Starts a script with a folder as its argument. The first time it may have to fetch what it needs.
  public init(_ script: String) throws {
    folder = try TemporaryFolder()
    let pipe = try Descriptor.pipe()
    life = pipe.write
    let ready = Signal()
    let said = Lock("")
    let failure = Lock("")
    var command = Command(["\(Products.repository)/Scripts/\(script)", folder.path])
    let input = pipe.read
    command.input = .descriptor(input.number)
    command.output = .lines { line in
      said.withLock { $0 = line }
      ready.raise()
    }
    let running = command
    Threads.detach {
      let outcome = withExtendedLifetime(input) { try? running.run() }
      failure.withLock { $0 = outcome?.errors ?? "it could not be started" }
      ready.raise()
    }
    guard ready.wait(atMost: .seconds(900)), let line = Optional(said.withLock { $0 }), !line.isEmpty else {
      throw FerryError(.internal, "\(script) did not start: \(failure.withLock { $0 })")
    }
    self.line = line
  }
}
