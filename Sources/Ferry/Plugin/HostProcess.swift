import FerrySystem
import FoundationEssentials
import Glibc

/// What a host is started with.
public struct HostSettings: Sendable {
  /// The `ferry` that is run as `ferry host`.
  public var executable: String
  /// What the host loads, and nothing else.
  public var plugin: PluginFile
  /// The provider's id.
  public var provider: String
  /// Which end it plays.
  public var side: Side
  /// The run's id.
  public var run: String
  /// The item's name.
  public var item: String
  /// The item's keys, with its end under `endpoint`.
  public var config: JSONValue
  /// Durable, of this run, item and side: the provider's memory (`kv`) and temporary folder (`tmp`) lie in it.
  public var folder: String
  /// By name. They travel over the control socket only, and are blotted out of logs and errors.
  public var secrets: [String: [UInt8]]
  /// A call that neither reports progress nor returns for this long is ended.
  public var stall: Duration
  /// For tests of providers: the host kills itself as soon as its provider's memory has changed so often, and that is on disk.
  public var diesAfter: Int?
  /// Gets each line of the log that is within its limits.
  public var onLog: @Sendable (LogLevel, String) -> Void
  /// Gets about ten reports a second at most.
  public var onProgress: @Sendable (ProgressReport) -> Void

  /// Settings; secrets, log and progress may be left out.
  public init(
    executable: String, plugin: PluginFile, provider: String, side: Side, run: String, item: String, config: JSONValue, folder: String,
    secrets: [String: [UInt8]] = [:], stall: Duration = .seconds(600), onLog: @escaping @Sendable (LogLevel, String) -> Void = { _, _ in },
    onProgress: @escaping @Sendable (ProgressReport) -> Void = { _ in }
  ) {
    self.executable = executable
    self.plugin = plugin
    self.provider = provider
    self.side = side
    self.run = run
    self.item = item
    self.config = config
    self.folder = folder
    self.secrets = secrets
    self.stall = stall
    self.onLog = onLog
    self.onProgress = onProgress
  }
}

/// One `ferry host`, seen from its node: a provider's instance in a process of its own. Whatever the plugin does, calls return or throw.
/// Calls come one at a time; `cancel` and `end` from any thread. Must be ended.
public final class HostProcess: Sendable {
  /// The process.
  public let identity: ProcessIdentity
  private let settings: HostSettings
  private let monitor: HostMonitor
  private let connection: RPCConnection
  private let log: HostLog
  /// What broke the connection, once `served` is raised; nil if the host closed it.
  private let broken = Lock<FerryError?>(nil)
  private let served = Signal()

  /// Starts a host and sets the provider up in it.
  public static func start(_ settings: HostSettings) throws -> HostProcess {
    let host = try HostProcess(settings)
    do {
      let instructions = HostInstructions(
        file: settings.plugin, provider: settings.provider, side: settings.side, run: settings.run, item: settings.item,
        config: settings.config, folder: settings.folder, secrets: settings.secrets.mapValues { Data($0).base64EncodedString() },
        diesAfter: settings.diesAfter)
      _ = try host.request("create", HostMethod.start, instructions)
      return host
    } catch {
      host.end()
      throw error
    }
  }

  private init(_ settings: HostSettings) throws {
    self.settings = settings
    let (ours, control) = try Descriptor.socketPair()
    let output = try Descriptor.pipe()
    let null = try Descriptor.open("/dev/null", O_RDONLY)
    let process = try ChildProcess.spawn(
      [settings.executable, "host"], environment: HostCommand.environment,
      descriptors: [0: null.number, 1: output.write.number, 2: output.write.number, HostCommand.control: control.number])
    control.close()
    output.write.close()
    identity = ProcessIdentity(pid: process.pid) ?? .gone(process.pid)
    let log = HostLog(settings, output.read)
    let monitor = try HostMonitor(process, stall: settings.stall)
    self.log = log
    self.monitor = monitor
    let onProgress = settings.onProgress
    connection = RPCConnection(LineConnection(input: ours, output: ours), to: "the host") { method, params in
      switch method {
      case HostMethod.log: if let line = try? params.decode(HostLogLine.self) { log.take(line) }
      case HostMethod.progress:
        monitor.touch()
        if let report = try? params.decode(ProgressReport.self) { onProgress(report) }
      default: break
      }
    }
    log.start()
    monitor.start()
    Threads.detach { [connection, broken, served] in
      let reason = connection.serve()
      broken.withLock { $0 = reason }
      served.raise()
      // A host that cannot be spoken to is of no use. One that is dying is left to say how.
      if reason != nil || !monitor.isOver(within: .seconds(1)) { monitor.kill(.disconnected) }
    }
  }

  /// Whether the process is there.
  public var isAlive: Bool { monitor.isAlive }

  /// Calls the provider and waits. The channels are this process's to close; the host gets duplicates and closes them after the call.
  public func call(
    _ call: ProviderCall, pass: Int = 0, flags: PassFlags = [], channels: [Descriptor] = [], arguments: JSONValue = [:]
  ) throws -> JSONValue {
    try request(call.rawValue, HostMethod.call, channels: channels) {
      HostCall(number: $0, call: call, pass: pass, flags: flags, arguments: arguments)
    }
  }

  /// Asks the running call to end, and kills the host if it does not. Without a running call it does nothing.
  public func cancel() {
    guard let number = monitor.cancel() else { return }
    connection.notify(HostMethod.cancel, ["number": .int(Int64(number))])
  }

  /// Tells the running call, a pass that stays, that it is to end in good order.
  public func windUp() {
    guard let number = monitor.running else { return }
    connection.notify(HostMethod.windUp, ["number": .int(Int64(number))])
  }

  /// Ends the process and everything in its session. Orderly if no call is running: the provider gets ten seconds to let go.
  public func end() {
    if monitor.isAlive, monitor.beginEnd() {
      _ = try? connection.call(HostMethod.end, timeout: .seconds(10))
    }
    monitor.kill(.ended)
    monitor.waitForEnd()
    connection.close()
    log.finish()
  }

  private func request(_ name: String, _ method: String, _ params: some Encodable & Sendable) throws -> JSONValue {
    try request(name, method) { _ in params }
  }

  private func request(
    _ name: String, _ method: String, channels: [Descriptor] = [], _ params: (Int) -> some Encodable
  ) throws -> JSONValue {
    guard channels.count <= 16 else { throw FerryError(.invalid, "\(place(name)) cannot have \(channels.count) channels: 16 at most") }
    guard let number = monitor.beginCall() else {
      if monitor.isEnding { throw FerryError(.cancelled, "\(place(name)) was ended") }
      if monitor.isAlive { throw FerryError(.internal, "\(place(name)) was called while another call is running") }
      throw failure(name)
    }
    defer { monitor.endCall() }
    let message = try JSONValue(encoding: params(number))
    let answer: HostAnswer
    do {
      answer = try connection.call(method, message, descriptors: channels.map(\.number)).decode(HostAnswer.self)
    } catch {
      throw failure(name)
    }
    if let error = answer.error { throw FerryError(error.class, log.redact(error.message), hint: log.redact(error.hint)) }
    return answer.reply ?? [:]
  }

  private func place(_ call: String) -> String {
    "plugin \(settings.plugin.path) (item '\(settings.item)', \(settings.side.rawValue), \(call))"
  }

  /// The host is broken: makes sure that it is gone and says how it ended.
  private func failure(_ call: String) -> FerryError {
    if served.wait(atMost: .seconds(5)) { served.raise() } else { monitor.kill(.disconnected) }
    let ending = monitor.waitForEnd()
    log.finish()
    let broken = broken.withLock { $0 }
    let place = place(call)
    let last = log.lastLines
    let said = last.isEmpty ? "" : "; it last said: \(last)"
    switch ending.cause {
    case .cancelled: return FerryError(.cancelled, "\(place) was ended because it was cancelled")
    case .ended: return FerryError(.cancelled, "\(place) was ended")
    case .stalled:
      return FerryError(
        .peer, "\(place) neither reported progress nor returned for \(settings.stall) and was ended\(said)",
        hint: "raise 'limits.stall' if that is normal for this item")
    case .disconnected, nil:
      let how: String
      if let broken {
        how = "broke its connection: \(log.redact(broken.message))"
      } else if ending.cause == .disconnected {
        how = "closed its connection"
      } else {
        how = ending.words
      }
      return FerryError(.internal, "\(place) \(how)\(said)", hint: "report it to the plugin's vendor")
    }
  }
}

extension ProcessIdentity {
  /// A child that was gone before it was looked at.
  fileprivate static func gone(_ pid: Int32) -> ProcessIdentity { ProcessIdentity(pid: pid, started: 0, boot: "") }
}
