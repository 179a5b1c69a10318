import CFerry
import FerrySystem
import FoundationEssentials
import Glibc

/// What a host does for its provider, in Swift. `HostServices+Tables.swift` gives it the ABI's form.
final class HostServices: @unchecked Sendable {
  private struct Call {
    var reply: String?
    var failure: (message: String, hint: String)?
    var cancellation = Cancellation()
  }
  private struct Reports {
    var limiter = LogLimiter()
    var progress: ProgressReport?
    var progressSent = ContinuousClock.now - .seconds(1)
  }

  /// The table that the provider gets; it lives as long as the process.
  let host: UnsafeMutablePointer<ferry_host>
  let memory: HostMemory
  private let secrets: [String: [UInt8]]
  private let temporary: UnsafeMutablePointer<CChar>?
  private let connection: RPCConnection
  private let call = Lock(Call())
  private let reports = Lock(Reports())

  init(_ instructions: HostInstructions, _ connection: RPCConnection) throws {
    self.connection = connection
    memory = try HostMemory(folder: "\(instructions.folder)/kv", diesAfter: instructions.diesAfter)
    secrets = instructions.secrets.mapValues { Data(base64Encoded: $0).map { Array($0) } ?? [] }
    let folder = "\(instructions.folder)/tmp"
    try Files.makeFolder(folder)
    temporary = strdup(folder)
    host = HostServices.makeTable()
    host.pointee.context = Unmanaged.passRetained(self).toOpaque()
  }

  /// Forgets the last call's reply, error and cancellation.
  func startCall() { call.withLock { $0 = Call() } }

  func setReply(_ json: String) { call.withLock { $0.reply = json } }

  func setFailure(_ message: String, _ hint: String) { call.withLock { $0.failure = (message, hint) } }

  /// The reply of the call that returned; the empty object if it gave none.
  func takeReply() throws -> JSONValue {
    guard let text = call.withLock({ $0.reply }) else { return [:] }
    do { return try JSONValue(parsing: text) } catch { throw FerryError(.internal, "not JSON: \(text.prefix(80).debugDescription)") }
  }

  /// Throws what the provider said, unless the status is good.
  func check(_ status: ferry_status, _ what: String) throws {
    guard status != 0 else { return }
    let known = status >= 1 && Int(status) <= ErrorClass.allCases.count
    let failure = call.withLock { $0.failure }
    let silent = known ? "\(what) and did not say why" : "\(what) with a status that the ABI does not know: \(status)"
    throw FerryError(ErrorClass(status: status), failure?.message ?? silent, hint: failure?.hint ?? "")
  }

  /// Ends the commands of the running call.
  func cancel() { call.withLock { $0.cancellation }.cancel() }

  func log(_ level: LogLevel, _ text: String) {
    reports.withLock { reports in
      for line in reports.limiter.admit(HostLogLine(level: level, text: text)) { send(HostMethod.log, line) }
    }
  }

  /// Passes the first report on, and then ten a second: a provider may call it for every block.
  func progress(_ report: ProgressReport) {
    reports.withLock { reports in
      reports.progress = report
      if reports.progressSent.duration(to: .now) >= .milliseconds(100) { sendProgress(&reports) }
    }
  }

  func flushProgress() {
    reports.withLock { reports in
      sendProgress(&reports)
      for line in reports.limiter.finish() { send(HostMethod.log, line) }
    }
  }

  private func sendProgress(_ reports: inout Reports) {
    guard let report = reports.progress else { return }
    reports.progress = nil
    reports.progressSent = .now
    send(HostMethod.progress, report)
  }

  private func send(_ method: String, _ value: some Encodable) {
    if let params = try? JSONValue(encoding: value) { connection.notify(method, params) }
  }

  func secret(_ name: String) -> [UInt8]? { secrets[name] }

  var temporaryFolder: UnsafePointer<CChar>? { temporary.map { UnsafePointer($0) } }

  /// Runs a program for the provider: its exit code, the end of its errors and whether it was cancelled.
  func run(_ command: Command) throws -> Command.Outcome {
    var command = command
    command.cancellation = call.withLock { $0.cancellation }
    command.errors = .lines { [self] in log(.info, $0) }
    if case .capture = command.output { command.output = .lines { [self] in log(.info, $0) } }
    return try command.run()
  }
}
