import FerrySystem
import Glibc

/// The controller's hold of one node: an agent and the session that it was asked to open.
final class NodeConnection: Sendable {
  let side: Side
  /// What messages call the node.
  let name: String
  let hello: HelloReply
  private let rpc: RPCConnection
  private let process: ChildProcess
  private let over = Signal()

  /// Starts an agent on a node. This is the one place that knows how a node is reached.
  init(
    _ spec: NodeSpec, side: Side, configuration: Engine.Configuration, report: @escaping @Sendable (AgentNotification, JSONValue) -> Void
  ) throws {
    self.side = side
    name = spec.name
    guard spec.node == "local" else {
      throw FerryError(.unsupported, "node \(spec.node): this release of Ferry reaches `local` nodes only", hint: "nothing was changed")
    }
    let home = spec.home ?? NodeStore.defaultHome
    let (mine, agents) = try Descriptor.socketPair()
    let null = try Descriptor.open("/dev/null", O_RDWR)
    process = try ChildProcess.spawn(
      [configuration.executable, "agent", "--home", home] + configuration.pluginFolders.flatMap { ["--plugins", $0] },
      environment: [FaultInjection.variable: nil],
      descriptors: [0: agents.number, 1: agents.number, 2: configuration.quiet ? null.number : 2])
    agents.close()
    rpc = RPCConnection(
      LineConnection(input: mine, output: mine), to: "the agent on \(spec.name)",
      listener: { method, params in AgentNotification(rawValue: method).map { report($0, params) } })
    rpc.start()
    hello = try rpc.call(AgentMethod.hello.rawValue, timeout: .seconds(60)).decode()
    guard hello.protocol == AgentProtocolVersion.current else {
      throw FerryError(
        .unsupported,
        "\(spec.name) speaks protocol \(hello.protocol) (ferry \(hello.ferry)), this end \(AgentProtocolVersion.current) (ferry \(ferryVersion))",
        hint: "install the same ferry at both ends")
    }
  }

  /// Opens the session; answers the record as the node holds it.
  func open(_ request: OpenRequest) throws -> NodeRecord {
    let record: NodeRecord = try send(.open, request).decode()
    watch()
    return record
  }

  /// The node's record now.
  func record() throws -> NodeRecord {
    let record: NodeRecord? = try rpc.call(AgentMethod.record.rawValue).decode()
    guard let record else { throw FerryError(.notFound, "\(name) has no record of the run") }
    return record
  }

  /// A request with typed parameters.
  @discardableResult func send(_ method: AgentMethod, _ params: some Encodable) throws -> JSONValue {
    try rpc.call(method.rawValue, JSONValue(encoding: params))
  }

  /// A request without parameters.
  @discardableResult func send(_ method: AgentMethod) throws -> JSONValue { try rpc.call(method.rawValue) }

  /// A provider's call.
  func call(_ request: CallRequest) throws -> CallReply { try send(.call, request).decode() }

  /// A long call is no silence: an agent that hangs, or a line that is dead, answers nothing at all. Then every call that waits fails.
  private func watch() {
    let (rpc, over) = (rpc, over)
    Threads.detach {
      while !over.wait(atMost: .seconds(15)) {
        do { _ = try rpc.call(AgentMethod.hello.rawValue, timeout: .seconds(60)) } catch { return rpc.close() }
      }
    }
  }

  /// Ends the agent, and so all its hosts.
  func close() {
    over.raise()
    rpc.close()
    Threads.detach { [process] in process.wait() }
  }

  /// Whether the agent, or the line to it, is gone.
  var isLost: Bool { rpc.isLost }

  /// The agent, for fault injection.
  var agent: ProcessIdentity { hello.process }
}
