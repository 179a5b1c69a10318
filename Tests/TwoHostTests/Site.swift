@testable import Ferry
import FerrySystem
import HostSupport
import TestSupport

/// Hosts and an engine on this machine that reaches them.
struct Site: Sendable {
  let folder: TemporaryFolder
  let hosts: TestHosts
  let configuration: Engine.Configuration

  init(_ names: [String], executable: String = Products.ferry, ferry: String? = Products.ferry, plugins: String? = nil) throws {
    folder = try TemporaryFolder()
    hosts = try TestHosts(names, in: folder, ferry: ferry, plugins: plugins)
    var configuration = Engine.Configuration(
      executable: executable, stateFolder: folder("state"), pluginFolders: [plugins ?? folder("plugins")])
    configuration.sshConfig = hosts.sshConfig
    self.configuration = configuration
  }

  /// An agent on a node.
  func connect(_ node: String, become: NodeSpec.Become? = nil, deploy: Bool = false) throws -> NodeConnection {
    try NodeConnection(
      NodeSpec(node: node, name: node, become: become, deploy: deploy), side: .destination, configuration: configuration,
      report: { _, _ in })
  }

  /// Why there is no agent on a node.
  func refusal(_ node: String, become: NodeSpec.Become? = nil, deploy: Bool = false) -> FerryError {
    do {
      try connect(node, become: become, deploy: deploy).close()
      return FerryError(.internal, "\(node) was reached")
    } catch {
      return FerryError.wrap(error)
    }
  }

  /// Processes of sshd that serve a login now.
  func logins(of host: TestHost) throws -> Int {
    let outcome = try host.command([
      "sh", "-c",
      "for p in /proc/[0-9]*; do [ \"$(readlink $p/ns/net)\" = \"$(readlink /proc/self/ns/net)\" ] && tr '\\0' ' ' < $p/cmdline && echo; done",
    ]).run()
    return outcome.output.split(separator: "\n").count { $0.hasPrefix("sshd: ") && $0.contains("root") }
  }
}

/// What some tests need beside the hosts; each says once that it is missing.
enum Needs {
  static let sudo: Bool = {
    let found = (try? Programs.find("sudo")) != nil
    if !found { print("skipped: the tests of become: sudo need 'sudo'") }
    return found
  }()

  /// An installed tree: the one that Scripts/test lays out.
  static let tree: String? = {
    let stage = Products.stage
    if Files.exists("\(stage)/bin/ferry") { return stage }
    print("skipped: the tests of deploy: true need the installed tree in FERRY_STAGE")
    return nil
  }()
}
