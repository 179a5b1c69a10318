@testable import Ferry
import FerrySystem
import Glibc
import HostSupport
import TestSupport

/// Two nodes, `a` and `b`, on this machine or on hosts of their own, a file that a small service keeps, and an engine. The service appends a line to the file whenever it is started
/// or asked to write, and notes each line that it has accepted in a log of its own: whatever happens, the end that serves must have them all.
/// Should both ends serve at once, it leaves a mark that no test overlooks.
package final class World: Sendable {
  package let folder: TemporaryFolder
  package let engine: Engine
  package let configuration: Engine.Configuration

  /// The hosts, if a node lies on one.
  package let hosts: TestHosts?
  private let nodes: [String: NodeSpec]

  /// A world whose nodes of those names are hosts that are reached by ssh; the others are local. From an installed tree, which has the plugin
  /// as well, Ferry is deployed to the hosts; else they have it.
  package init(hosts names: [String] = [], ipv6: Bool = false, installed: String? = nil) throws {
    folder = try TemporaryFolder()
    let plugins = folder("plugins")
    try Files.makeFolder(plugins)
    try World.example.install(in: plugins)
    var configuration = Engine.Configuration(
      executable: installed.map { "\($0)/bin/ferry" } ?? Products.ferry, stateFolder: folder("state"),
      pluginFolders: [installed.map { "\($0)/lib/ferry/plugins" } ?? plugins])
    hosts = names.isEmpty ? nil : try TestHosts(names, in: folder, ferry: installed == nil ? Products.ferry : nil, plugins: plugins)
    configuration.sshConfig = hosts?.sshConfig
    self.configuration = configuration
    engine = try Engine(configuration)
    var nodes = [
      "a": NodeSpec(node: "local", name: "a", home: folder("a/home")), "b": NodeSpec(node: "local", name: "b", home: folder("b/home")),
    ]
    for host in hosts?.hosts ?? [] {
      nodes[host.name] = NodeSpec(node: ipv6 ? host.node6 : host.node, name: host.name, deploy: installed != nil)
    }
    self.nodes = nodes
    for side in ["a", "b"] { try Files.makeFolder(folder(side)) }
    try folder.write("service", Self.script, mode: 0o755)
    try folder.write("a/ledger", "")
    try write("first")
  }

  /// The teaching plugin, built once by plain `cc`.
  private static let example = ExamplePlugin()

  // MARK: The service

  private static let script = """
    #!/bin/sh
    # service SIDE ACT: serves while SIDE/serving exists; SIDE/held keeps it down. While SIDE-ACT-waits exists, so does the act.
    cd "$(dirname "$0")" || exit 1
    : > "$1-$2-asked"
    while [ -e "$1-$2-waits" ]; do sleep 0.05; done
    case $1 in a) other=b ;; *) other=a ;; esac
    case $2 in
      start)
        [ -e "$1/held" ] && { echo "held down" >&2; exit 1; }
        [ -e "$1/serving" ] && exit 0
        [ -e fail-start-$1 ] && { echo "told to fail" >&2; exit 1; }
        [ -e "$other/serving" ] && echo "$1 started while $other served" >> both
        : > "$1/serving"
        line="$1-started-$$"
        echo "$line" >> "$1/ledger" && echo "$line" >> accepted ;;
      stop) [ -e stubborn ] && exec sleep 60; rm -f "$1/serving" ;;
      status) [ -e "$1/serving" ] ;;
      hold) : > "$1/held" ;;
      release) rm -f "$1/held" ;;
      write) [ -e "$1/serving" ] || exit 1; echo "$3" >> "$1/ledger" && echo "$3" >> accepted ;;
    esac
    """

  /// Has the serving end accept a line.
  package func write(_ line: String, at side: String = "a") throws {
    if !Files.exists(folder("\(side)/serving")) { try folder.write("\(side)/serving", "") }
    _ = try Command(["/bin/sh", folder("service"), side, "write", line]).run()
  }

  /// A power cut at a node that is a host. All that runs there ends; when it is up again, what is enabled there is started, as an engine does
  /// at boot. At the source that is the service; at the destination too, once it has served.
  package func reboot(_ name: String) throws {
    let isEnabled = name == "a" || serves(name)
    try? Files.remove(folder("\(name)/serving"))
    try hosts?.reboot(name)
    if isEnabled, let host = try hosts?[name] { _ = try host.command(["/bin/sh", folder("service"), name, "start"]).run() }
  }

  package func serves(_ side: String) -> Bool { Files.exists(folder("\(side)/serving")) }

  /// Never both, and everything accepted is where it serves.
  package func complaints(serving side: String) throws -> [String] {
    var complaints: [String] = []
    if Files.exists(folder("both")) { complaints.append("both ends served: \(try folder.read("both"))") }
    for end in ["a", "b"] where serves(end) != (end == side) { complaints.append("\(end) \(serves(end) ? "serves" : "does not serve")") }
    let kept = Set(try folder.read("\(side)/ledger").split(separator: "\n"))
    let lost = try folder.read("accepted").split(separator: "\n").filter { !kept.contains($0) }
    if !lost.isEmpty { complaints.append("lost at \(side): \(lost.joined(separator: ", "))") }
    return complaints
  }

  // MARK: The migration

  package func manifest(_ mode: Manifest.Mode = .move, change: (inout Manifest) -> Void = { _ in }) -> Manifest {
    func act(_ name: String) -> [String] { ["/bin/sh", "-c", "exec \"$SERVICE\" \"$END\" \(name)"] }
    var manifest = Manifest(
      file: "world.yaml", digest: "0", name: "world", mode: mode, source: node("a"), destination: node("b"))
    manifest.services = [
      ServiceSpec(
        name: "ledger",
        kind: .command(stop: act("stop"), start: act("start"), status: act("status"), hold: act("hold"), release: act("release")),
        source: .init(environment: ["SERVICE": folder("service"), "END": "a"]),
        destination: .init(environment: ["SERVICE": folder("service"), "END": "b"]))
    ]
    manifest.services[0].healthy = act("status")
    manifest.state = [item("ledger")]
    change(&manifest)
    return manifest
  }

  package func item(_ name: String, after: [String] = []) -> ItemSpec {
    ItemSpec(
      name: name, provider: "example-file",
      config: ["from": ["file": .string(folder("a/\(name)"))], "to": ["file": .string(folder("b/\(name)"))]], after: after)
  }

  /// Runs it and answers the result; events are collected on the way.
  package func run(_ manifest: Manifest, options: RunOptions = RunOptions(), onEvent: @escaping @Sendable (Event) -> Void = { _ in })
    async throws
    -> RunResult
  {
    try await engine.run(manifest, options: options, onEvent: onEvent)
  }

  package func record(_ run: String, _ side: Side) throws -> NodeRecord? {
    try NodeStore(home: home(side == .source ? "a" : "b")).record(run, side)
  }

  package func node(_ name: String) -> NodeSpec { nodes[name] ?? NodeSpec(node: "local", name: name) }

  /// Where this machine sees what a node keeps.
  package func home(_ name: String) -> String {
    guard let host = try? hosts?[name] else { return folder("\(name)/home") }
    return "\(host.folder)/lib/ferry"
  }
}

/// Plugins/Example/example.c as a shared library.
package final class ExamplePlugin: Sendable {
  private let built: Result<(TemporaryFolder, String), any Error>

  package init() {
    built = Result {
      let folder = try TemporaryFolder()
      let library = folder("example.so")
      let outcome = try Command([
        "cc", "-shared", "-fPIC", "-O1", "-I\(Products.repository)/include", "-o", library,
        "\(Products.repository)/Plugins/Example/example.c",
      ]).run()
      guard outcome.succeeded else { throw FerryError(.internal, "cc: \(outcome.reason)") }
      return (folder, library)
    }
  }

  package func install(in folder: String) throws { try Files.replace("\(folder)/example.so", with: Files.read(built.get().1), mode: 0o755) }
}

/// Values gathered from another thread.
package final class Collected<Value: Sendable>: Sendable {
  private let values = Lock<[Value]>([])
  package init() {}
  package func add(_ value: Value) { values.withLock { $0.append(value) } }
  package var all: [Value] { values.withLock { $0 } }
}
