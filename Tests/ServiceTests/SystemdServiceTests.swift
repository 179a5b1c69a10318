import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import Ferry

/// A user manager of the test's own.
final class Manager: Sendable {
  let folder: TemporaryFolder
  let environment: [String: String]
  private let engine: Lock<Engine>
  static let missing = isMissing("systemctl", "/lib/systemd/systemd")

  init() throws {
    // systemctl believes in systemd only where the system runs on it.
    try Files.makeFolder("/run/systemd/system", mode: 0o755)
    folder = try TemporaryFolder()
    for name in ["run", "home", "config/systemd/user"] { try Files.makeFolder(folder(name)) }
    environment = [
      "XDG_RUNTIME_DIR": folder("run"), "HOME": folder("home"), "XDG_CONFIG_HOME": folder("config"), "XDG_DATA_HOME": folder("home/data"),
    ]
    engine = Lock(try Self.start(environment, folder))
    try awaitSocket()
  }

  private static func start(_ environment: [String: String], _ folder: TemporaryFolder) throws -> Engine {
    try Engine(["/lib/systemd/systemd", "--user"], environment: environment.mapValues { $0 }, log: folder("log"))
  }

  /// Ends the manager with all its units and starts it again, as a boot does.
  func restart() throws {
    _ = try? systemctl("exit")
    try engine.withLock { engine in
      engine.end()
      engine = try Self.start(environment, folder)
    }
    try awaitSocket()
  }

  private func awaitSocket() throws {
    try waitFor("the user manager's socket", seconds: 120) { try systemctl("show", "--property=Version").succeeded }
  }

  deinit {
    _ = try? systemctl("exit")
    engine.withLock { $0.end() }
  }

  @discardableResult func systemctl(_ arguments: String...) throws -> Command.Outcome {
    try Command(["systemctl", "--user", "--no-pager"] + arguments, environment: environment.mapValues { $0 }, timeout: .seconds(60)).run()
  }
  func state(_ unit: String) throws -> String {
    try systemctl("show", "--property=ActiveState", "--value", unit).output.trimmed
  }
  func unit(_ name: String, _ text: String) throws {
    try folder.write("config/systemd/user/\(name)", text)
    try systemctl("daemon-reload")
  }
  func group(
    _ units: [String], _ side: Side = .source, notes: String = "notes", stop: Duration = .seconds(60),
    report: @escaping @Sendable (ServiceEvent) -> Void = { _ in }
  ) throws -> ServiceGroup {
    let services = try units.map { try spec(.systemd(unit: $0, user: true), $0, environment: environment, stop: stop) }
    return ServiceGroup(run: "r1", side: side, services: services, folder: folder(notes), report: report)
  }
}

extension String {
  fileprivate var trimmed: String { String(self.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed()) }
}

@Suite("Services of kind systemd", .serialized, .enabled(if: !Manager.missing)) struct SystemdServiceTests {
  private let manager: Manager
  private var folder: TemporaryFolder { manager.folder }

  init() throws { manager = try Manager() }

  @Test("a unit with a socket and a timer goes down with both, stays down whoever asks, and comes back with both") func held() throws {
    try manager.unit(
      "web.service",
      "[Service]\nExecStart=sleep 1000\nExecStop=touch \(folder("stopped"))\nRestart=always\nRestartSec=0\n[Install]\nAlias=www.service\n")
    try manager.unit("web.socket", "[Socket]\nListenStream=\(folder("web.sock"))\n")
    try manager.unit("web.timer", "[Timer]\nOnActiveSec=1h\n[Install]\nWantedBy=timers.target\n")
    try manager.unit("other.service", "[Unit]\nWants=web.service\n[Service]\nType=oneshot\nExecStart=true\n")
    try manager.systemctl("enable", "web.service")
    try manager.systemctl("enable", "--now", "web.timer")
    try manager.systemctl("start", "web.socket", "web.service")
    let group = try manager.group(["web"])
    let texts = group.check().map(\.text)
    #expect(texts.contains { $0.contains("web.socket, web.timer") } && texts.contains { $0.contains("Restart=always") })

    try group.stop()
    #expect(try group.isStopped())
    #expect(Files.exists(folder("stopped")), "a unit is stopped by its own ExecStop")
    for unit in ["web.service", "web.socket", "web.timer", "www.service"] {
      #expect(try !manager.systemctl("start", unit).succeeded)
      #expect(try manager.state(unit) == "inactive")
    }
    try manager.systemctl("start", "other.service")
    #expect(try group.isStopped())

    // The manager starts anew, as after a reboot, and still nothing brings it up.
    try manager.systemctl("daemon-reexec")
    try waitFor("the manager after its new start") { try manager.systemctl("show", "--property=Version").succeeded }
    #expect(try manager.state("web.timer") == "inactive")
    #expect(try manager.systemctl("show", "--property=LoadState", "--value", "web.service").output.trimmed == "masked")

    let fresh = try manager.group(["web"])
    try fresh.stop()
    try fresh.start()
    for unit in ["web.service", "web.socket", "web.timer"] { #expect(try manager.state(unit) == "active") }
    #expect(try manager.systemctl("is-enabled", "web.timer").output.trimmed == "enabled")
    #expect(Files.names(in: folder("config/systemd/user.control")).isEmpty)
  }

  @Test("a socket-activated unit that happens to be down is held, and only its socket comes back") func socketOnly() throws {
    try manager.unit("web.service", "[Service]\nExecStart=sleep 1000\n")
    try manager.unit("web.socket", "[Socket]\nListenStream=\(folder("web.sock"))\n")
    try manager.systemctl("start", "web.socket")
    try manager.group(["web.service"]).stop()
    #expect(try manager.state("web.socket") == "inactive")
    try manager.group(["web.service"]).start()
    #expect(try manager.state("web.socket") == "active")
    #expect(try manager.state("web.service") == "inactive")
  }

  @Test("one that ignores the request to stop is killed when its time is up, stays held, and start brings it back") func stubborn() throws {
    try manager.unit(
      "web.service", "[Service]\nExecStart=sh -c 'trap \"\" TERM; while :; do sleep 1; done'\nRestart=always\nRestartSec=0\n")
    try manager.systemctl("start", "web.service")
    let text = message { try manager.group(["web"], stop: .seconds(1)).stop() }
    #expect(text.contains("user unit web") && text.contains("did not stop within 1 s") && text.contains("killed and is held"))
    #expect(try manager.group(["web"]).isStopped())
    try manager.group(["web"]).start()
    #expect(try manager.state("web.service") == "active")
    // Or the manager would wait for it at its own end.
    #expect(throws: FerryError.self) { try manager.group(["web"], stop: .seconds(1)).stop() }
  }

  @Test("killed between any two steps, a fresh process ends held or back, as asked") func crash() throws {
    try manager.unit("db.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n")
    try manager.unit("web.service", "[Unit]\nRequires=db.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n")
    try manager.systemctl("start", "web.service")
    // Stopping db takes web along: both were noted as running before.
    let services = try ["db", "web"].map { try spec(.systemd(unit: $0, user: true), $0, environment: manager.environment) }
    func driver(_ index: Int) -> any ServiceDriver { ServiceContext(run: "r1", side: .source, spec: services[index]).driver() }
    let found = try (0..<2).map { try #require(try driver($0).find()) }
    var notes = ServiceNotes()
    for (service, found) in zip(services, found) { notes.services[service.name] = .init(found: found, last: nil) }
    // Each is a place to die at, from the note on.
    let steps: [() throws -> Void] = [
      {}, { try manager.systemctl("stop", "db.service") }, { try driver(0).hold(found[0]) }, { _ = try driver(0).stop(found[0]) },
      { try driver(1).hold(found[1]) }, { _ = try driver(1).stop(found[1]) }, { try driver(0).release(found[0]) },
    ]
    for step in steps {
      for forward in [true, false] {
        try notes.write(folder("notes/services.json"))
        try step()
        if forward {
          try manager.group(["db", "web"]).stop()
          #expect(try manager.group(["db", "web"]).isStopped())
          #expect(try !manager.systemctl("start", "web.service").succeeded)
        }
        try manager.group(["db", "web"]).start()
        #expect(try manager.state("db.service") == "active" && manager.state("web.service") == "active")
      }
    }
  }

  @Test("at the destination a unit is held before its file is there, and started with what is enabled for it") func destination() throws {
    let group = try manager.group(["web"], .destination)
    #expect(group.check().contains { $0.severity == .warning && $0.text.contains("no such unit yet") })
    try group.hold()
    try manager.unit("web.service", "[Service]\nExecStart=sleep 1000\n")
    try manager.unit("web.timer", "[Timer]\nOnActiveSec=1h\n[Install]\nWantedBy=timers.target\n")
    try manager.systemctl("enable", "web.timer")
    #expect(try !manager.systemctl("start", "web.service").succeeded)
    try group.start()
    #expect(try manager.state("web.service") == "active" && manager.state("web.timer") == "active")
    try group.stop()
    #expect(try group.isStopped())
    try group.release()
    #expect(try manager.state("web.service") == "inactive")
  }

  @Test("one that dies at once fails the start, although systemd had started it") func dies() throws {
    try manager.unit("web.service", "[Service]\nExecStart=sh -c 'exit 7'\n")
    let text = message { try manager.group(["web"], .destination).start() }
    #expect(text.contains("not healthy") && text.contains("the unit failed (exit-code)"))
  }

  @Test("what another run holds is refused, as is a unit that is not there") func refused() throws {
    try manager.unit("web.service", "[Service]\nExecStart=sleep 1000\n")
    try manager.group(["web"], notes: "first").stop()
    let other = try manager.group(["web"], notes: "second")
    #expect(message { try other.stop() }.contains("held already by another run"))
    #expect(other.check().contains { $0.severity == .error })
    try manager.group(["web"], notes: "first").release()
    #expect(message { try manager.group(["nothing"], notes: "third").stop() }.contains("there is no such service"))
    #expect(try manager.group(["nothing"]).check().contains { $0.severity == .error && $0.text.contains("no such unit") })
  }
}
