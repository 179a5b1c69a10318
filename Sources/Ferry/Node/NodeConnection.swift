import FerrySystem
import Glibc

/// The controller's hold of one node: an agent and the session that it was asked to open.
final class NodeConnection: Sendable {
  let side: Side
  /// What messages call the node.
  let name: String
  let hello: HelloReply
  /// On the controller's own machine.
  let isLocal: Bool
  /// For further streams to the node.
  let transport: any NodeTransport
  private let rpc: RPCConnection
  private let agentProcess: NodeProcess
  private let over = Signal()
  private let used = Lock<[String: PluginFile]>([:])

  /// Starts an agent on a node. A visit can be cancelled.
  init(
    _ spec: NodeSpec, side: Side, configuration: Engine.Configuration, visit: Visit? = nil,
    report: @escaping @Sendable (AgentNotification, JSONValue) -> Void
  ) throws {
    self.side = side
    name = spec.name
    isLocal = spec.node == "local"
    transport = try spec.transport(configuration)
    visit?.takes(transport)
    do {
      let agent = try transport.start(["agent"] + (spec.home.map { ["--home", $0] } ?? []))
      agentProcess = agent
      rpc = RPCConnection(
        LineConnection(input: agent.stream, output: agent.stream), to: "the agent on \(spec.name)",
        listener: { method, params in AgentNotification(rawValue: method).map { report($0, params) } })
      rpc.start()
      hello = try Self.greet(rpc, agent, name: spec.name)
    } catch {
      transport.close()
      throw error
    }
  }

  private static func greet(_ rpc: RPCConnection, _ agent: NodeProcess, name: String) throws -> HelloReply {
    let answer: JSONValue
    do { answer = try rpc.call(AgentMethod.hello.rawValue, timeout: .seconds(60)) } catch {
      let outcome = agent.outcome()
      guard outcome.code != nil, let last = outcome.errors.split(whereSeparator: \.isNewline).last else { throw error }
      if last.hasPrefix("sudo:") { throw FerryError.sudo(refuses: name, said: ": \(last)") }
      if ["Exec format error", "cannot execute"].contains(where: { last.contains($0) }) {
        throw FerryError(
          .unsupported, "the ferry on \(name) is for another architecture: \(last)",
          hint: "install one that is made for that machine; nothing was changed")
      }
      throw FerryError(.peer, "ferry does not run on \(name): \(last)", hint: "`ferry --version` must work there; nothing was changed")
    }
    // The version first: of another protocol nothing else is known.
    let version = answer["protocol"]?.int
    guard version == Int64(AgentProtocolVersion.current) else {
      let theirs = "\(version.map { "protocol \($0)" } ?? "no protocol that is known here") (ferry \(answer["ferry"]?.string ?? "?"))"
      throw FerryError(
        .unsupported, "\(name) speaks \(theirs), this end protocol \(AgentProtocolVersion.current) (ferry \(ferryVersion))",
        hint: "install the same ferry at both ends; nothing was changed")
    }
    return try answer.decode()
  }

  /// Opens the session; answers the record as the node holds it.
  func open(_ request: OpenRequest) throws -> NodeRecord {
    let reply: OpenReply = try send(.open, request).decode()
    used.withLock { $0 = reply.plugins }
    watch()
    return reply.record
  }

  /// The plugin that the node uses for a provider, once its session is open.
  func plugin(for provider: String) -> PluginFile? { used.withLock { $0[provider] } }

  /// The node's record now.
  func record() throws -> NodeRecord {
    let record: NodeRecord? = try send(.record).decode()
    guard let record else { throw FerryError(.notFound, "\(name) has no record of the run") }
    return record
  }

  /// A request with typed parameters.
  @discardableResult func send(_ method: AgentMethod, _ params: some Encodable) throws -> JSONValue {
    let params = try JSONValue(encoding: params)
    do { return try rpc.call(method.rawValue, params) } catch let error as FerryError {
      throw error.code == RPCConnection.lost ? loss() : error
    }
  }

  /// A request without parameters.
  @discardableResult func send(_ method: AgentMethod) throws -> JSONValue { try send(method, JSONValue.object([:])) }

  /// What has become of the agent, as far as it can be told from here.
  private func loss() -> FerryError {
    let (code, errors) = agentProcess.outcome(within: .seconds(2))
    let said = errors.split(whereSeparator: \.isNewline).last.map { ": \($0)" } ?? ""
    let what =
      switch code {
      case nil: "\(name) does not answer any more"
      case 255? where !isLocal: "\(name) is lost: the line to it was cut, or its agent was ended\(said)"
      case let code? where code > 128: "the agent on \(name) was ended by signal \(code - 128)"
      case let code?: "the agent on \(name) has ended with code \(code)\(said)"
      }
    return FerryError(.peer, what, code: RPCConnection.lost)
  }

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
    transport.close()
  }

  /// Whether the agent, or the line to it, is gone.
  var isLost: Bool { rpc.isLost }

  /// The agent, for fault injection.
  var agent: ProcessIdentity { hello.process }
}
