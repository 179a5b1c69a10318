import FerrySystem
import Glibc

/// This machine: `ferry` is the very program that runs here.
final class LocalTransport: NodeTransport {
  private let command: [String]
  private let plugins: [String]
  private let quiet: Bool
  private let started = Lock<[NodeProcess]>([])

  init(_ spec: NodeSpec, configuration: Engine.Configuration) {
    command = (spec.become == .sudo ? ["sudo", "-n", "--"] : []) + [configuration.executable]
    plugins = configuration.pluginFolders.flatMap { ["--plugins", $0] }
    quiet = configuration.quiet
  }

  func start(_ arguments: [String]) throws -> NodeProcess {
    let process = try NodeProcess.spawn(command + arguments + plugins, environment: [FaultInjection.variable: nil], quiet: quiet)
    started.withLock { $0.append(process) }
    return process
  }

  func close() {
    let all = started.withLock { started in
      defer { started = [] }
      return started
    }
    for process in all { process.end(grace: .seconds(10)) }
  }
}
