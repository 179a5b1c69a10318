import FerrySystem
import Glibc

/// A service that the manifest's own commands drive. `status` ends with 0 while the service runs.
struct CommandService: ServiceDriver {
  let context: ServiceContext
  let stop: [String]
  let start: [String]
  let status: [String]?
  let hold: [String]?
  let release: [String]?

  var title: String { "command \(stop.first ?? "")" }

  func check() throws -> [Notice] {
    var notices: [Notice] = []
    for (key, command) in [("stop", stop), ("start", start), ("status", status), ("hold", hold), ("release", release)] {
      guard let program = command?.first else { continue }
      do { try check(program, of: command) } catch {
        notices.append(Notice(.error, "'\(key)': \(FerryError.wrap(error).message)", hint: "install it, or name another program"))
      }
    }
    if hold == nil {
      notices.append(
        Notice(
          .warning, "it has no 'hold': something else may start it while its state is on its way",
          hint: "add 'hold' and 'release', or make sure that nothing else starts it"))
    }
    if status == nil {
      notices.append(Notice(.info, "it has no 'status': it is taken to run at the source, and to be stopped once 'stop' has ended with 0"))
    } else if notices.allSatisfy({ $0.severity != .error }), context.side == .source, try isRunning() == false {
      notices.append(Notice(.info, "it does not run: it is held down and left stopped"))
    }
    return notices
  }

  func find() throws -> ServiceFound? { ServiceFound(ran: try isRunning() ?? true) }

  func hold(_ found: ServiceFound) throws { if let hold { try act("hold", hold, within: context.spec.stopTimeout) } }

  func stop(_ found: ServiceFound) throws -> String {
    try hold(found)
    if try isRunning() == false { return "" }
    let began = ContinuousClock.now
    let outcome = try context.command(stop, timeout: context.spec.stopTimeout)
    if outcome.timedOut { throw context.refusedToStop("the command \(stop[0]) was ended, the service may still run") }
    guard outcome.succeeded else { throw failure("stop", stop, outcome) }
    let left = context.spec.stopTimeout - (ContinuousClock.now - began)
    guard try context.wait(left, until: { try isRunning() != true }) else {
      throw context.refusedToStop("its status says that it still runs")
    }
    return ""
  }

  func release(_ found: ServiceFound) throws { if let release { try act("release", release, within: context.spec.startTimeout) } }

  func start(_ found: ServiceFound, running: Bool) throws {
    if try running && isRunning() != true { try act("start", start, within: context.spec.startTimeout) }
  }

  func isRunning() throws -> Bool? {
    guard let status else { return nil }
    let outcome = try context.command(status, timeout: .seconds(30))
    // A shell that does not find its program ends so: that says nothing of the service.
    if outcome.timedOut || outcome.code == 126 || outcome.code == 127 { throw failure("status", status, outcome) }
    return outcome.code == 0
  }

  func health() throws -> ServiceHealth {
    guard let running = try isRunning() else { return .healthy }
    return running ? .running("") : .waiting("its status says that it does not run")
  }

  private func act(_ key: String, _ command: [String], within limit: Duration) throws {
    let outcome = try context.command(command, timeout: limit)
    guard outcome.succeeded else { throw failure(key, command, outcome) }
  }

  private func failure(_ key: String, _ command: [String], _ outcome: Command.Outcome) -> FerryError {
    FerryError(
      .io, "'\(key)' (\(command.joined(separator: " "))) \(outcome.timedOut ? outcome.reason : "failed, \(outcome.reason)")",
      hint: "try the command by hand, with FERRY_SIDE=\(context.side.rawValue)")
  }

  private func check(_ program: String, of command: [String]?) throws {
    guard let step = command.flatMap(CallStep.init) else { return try Self.findProgram(program) }
    guard let ferry = context.ferry else { return }
    let configuration = Engine.Configuration(executable: ferry.executable, pluginFolders: ferry.plugins)
    try configuration.catalog().check(call: step.name)
  }

  private static func findProgram(_ program: String) throws {
    let path = try Programs.find(program)
    guard access(path, X_OK) == 0 else { throw FerryError(.notFound, "\(program) is missing or not executable") }
  }
}
