import FerrySystem
import HostSupport
import TestSupport

/// Hosts with an engine each, and a `ferry` that has the keys of all.
protocol HostedEngines: Sendable {
  var folder: TemporaryFolder { get }
  var hosts: TestHosts { get }
  /// The program.
  var ferry: String { get }
}

extension HostedEngines {
  /// The controller's folder, whichever host it is called on.
  var state: String { folder("state") }

  /// A line of a shell, which finds the host's own programs first.
  func call(_ host: String, _ line: String) throws -> Command.Outcome {
    try hosts[host].command(["/bin/sh", "-c", "PATH=/usr/local/bin:$PATH; \(line)"]).run()
  }

  /// What such a line says; throws if it fails.
  @discardableResult func run(_ host: String, _ line: String) throws -> String {
    let outcome = try call(host, line)
    guard outcome.succeeded else { throw FerryError(.internal, "\(host): \(line): \(outcome.reason)") }
    return outcome.output
  }

  /// `ferry` on this machine or, as a person there types it, on a host.
  func ferry(on host: String? = nil, fault: String? = nil, _ arguments: String...) throws -> Command.Outcome {
    var settings = ["HOME": folder.path, "FERRY_SSH_CONFIG": hosts.sshConfig, "FERRY_STATE": state]
    settings["FERRY_FAULT"] = fault
    var command: Command
    if let host {
      settings["PATH"] = "/usr/local/bin:\(Environment.all["PATH"] ?? ""):/usr/sbin"
      command = try hosts[host].command(["env"] + settings.map { "\($0)=\($1)" } + [ferry] + arguments)
    } else {
      command = Command([ferry] + arguments, environment: settings.mapValues { $0 })
    }
    command.timeout = .seconds(300)
    command.output = .capture(limit: 4 << 20)
    return try command.run()
  }
}
