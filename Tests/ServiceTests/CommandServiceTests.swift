import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import Ferry

/// A service of shell commands: the file `NAME.up` says that it runs, `NAME.held` that it must not.
private struct Shell {
  let folder: TemporaryFolder
  var log: String { (try? folder.read("log")) ?? "" }

  func service(_ name: String, stop: String? = nil, start: String? = nil, status: Bool = true, hold: Bool = true) -> ServiceSpec.Kind {
    let note = "echo \"$FERRY_SIDE $FERRY_SERVICE %\" >>\(folder("log"));"
    func act(_ word: String, _ script: String) -> [String] {
      ["sh", "-c", "cd \(folder.path); " + note.replacing("%", with: word) + script]
    }
    return .command(
      stop: act("stop", stop ?? "rm -f \(name).up"),
      start: act("start", start ?? "test ! -e \(name).held && touch \(name).up"),
      status: status ? ["sh", "-c", "test -e \(folder("\(name).up"))"] : nil,
      hold: hold ? act("hold", "touch \(name).held") : nil,
      release: hold ? act("release", "rm -f \(name).held") : nil)
  }
  func group(_ services: [ServiceSpec], _ side: Side = .source, report: @escaping @Sendable (ServiceEvent) -> Void = { _ in })
    -> ServiceGroup
  {
    ServiceGroup(run: "r1", side: side, services: services, folder: folder("notes-\(side)"), report: report)
  }
}

@Suite("Services of kind command") struct CommandServiceTests {
  private let shell: Shell
  private var folder: TemporaryFolder { shell.folder }

  init() throws { shell = Shell(folder: try TemporaryFolder()) }

  @Test(
    "another user's are run as that user, in their home, with nothing of root's environment; each end may have its own",
    .enabled(if: geteuid() == 0, "only root can act for others"))
  func others() throws {
    chmod(folder.path, 0o755)
    try Files.makeFolder(folder("seen"), mode: 0o777)
    chmod(folder("seen"), 0o777)
    let tell = ["sh", "-c", "(id -un; id -Gn; pwd; env) > \(folder("seen"))/$FERRY_SIDE"]
    var service = try spec(.command(stop: tell, start: tell, status: nil, hold: nil, release: nil), "app")
    service.user = "daemon"
    service.destination.user = "games"
    setenv("FERRY_TEST_CANARY", "of root's", 1)
    defer { unsetenv("FERRY_TEST_CANARY") }
    try shell.group([service]).stop()
    try shell.group([service], .destination).start()
    for (side, user) in [("source", "daemon"), ("destination", "games")] {
      let account = try Account(user)
      let lines = try folder.read("seen/\(side)").split(separator: "\n").map(String.init)
      #expect(lines.prefix(3) == [user, user, account.home], "\(lines)")
      #expect(lines.contains("HOME=\(account.home)") && lines.contains("XDG_RUNTIME_DIR=/run/user/\(account.user)"))
      #expect(lines.contains("FERRY_SERVICE=app") && !lines.contains { $0.contains("CANARY") })
    }
    service.source.user = "nobody-of-that-name"
    #expect(message { try shell.group([service]).stop() }.contains("there is no user 'nobody-of-that-name' on this node"))
  }

  @Test("they are stopped from the first to the last, started in reverse, and only those that ran") func order() throws {
    for name in ["web.up", "db.up"] { try folder.write(name, "") }
    let services = try ["web", "worker", "db"].map { try spec(shell.service($0), $0) }
    let events = Lock([String]())
    let group = shell.group(services) { event in events.withLock { $0.append("\(event.service) \(event.act)") } }
    #expect(try !group.isStopped())
    try group.stop()
    #expect(try group.isStopped())
    #expect(!Files.exists(folder("web.up")) && Files.exists(folder("web.held")) && Files.exists(folder("worker.held")))
    try group.start()
    #expect(Files.exists(folder("web.up")) && Files.exists(folder("db.up")) && !Files.exists(folder("worker.up")))
    #expect(!Files.exists(folder("worker.held")))
    let acts = shell.log.split(separator: "\n").filter { $0.hasSuffix("stop") || $0.hasSuffix("start") }
    #expect(acts == ["source web stop", "source db stop", "source db start", "source web start"])
    #expect(events.withLock { $0.last } == "web healthy")
  }

  @Test("those without a check are watched together once all are started, and that they were up meanwhile is told") func settling() throws {
    let names = ["web", "worker", "db"]
    for name in names { try folder.write("\(name).up", "") }
    let services = try names.map { name in
      var kind = shell.service(name)
      if case .command(let stop, let start, _, let hold, let release) = kind {
        let status = ["sh", "-c", "echo \"$FERRY_SIDE \(name) status\" >>\(folder("log")); test -e \(folder("\(name).up"))"]
        kind = .command(stop: stop, start: start, status: status, hold: hold, release: release)
      }
      return try spec(kind, name)
    }
    try shell.group(services).stop()
    try folder.write("log", "")
    let up = try shell.group(services).start()
    #expect(up >= .seconds(1))
    let acts = shell.log.split(separator: "\n").map { $0.dropFirst(7) }.filter { $0.hasSuffix("start") || $0.hasSuffix("status") }
    let last = try #require(acts.firstIndex(of: "web start"))
    // Each is looked at once before the next is started.
    #expect(acts[..<last].filter { $0.hasSuffix("start") } == ["db start", "worker start"])
    #expect(acts[(acts.firstIndex(of: "db start") ?? 0)..<last].count { $0 == "db status" } == 1)
  }

  @Test("a fresh process stops and starts what the dead one had found, whatever had been done") func crash() throws {
    try folder.write("web.up", "")
    try folder.write("db.up", "")
    let broken = shell.service("db", stop: "test -e mended && rm -f db.up")
    let services = [try spec(shell.service("web"), "web"), try spec(broken, "db")]
    #expect(throws: FerryError.self) { try shell.group(services).stop() }
    #expect(!Files.exists(folder("web.up")) && Files.exists(folder("db.up")))
    try folder.write("mended", "")
    try shell.group(services).stop()
    try shell.group(services).stop()
    #expect(try shell.group(services).isStopped())
    // Dies between the release and the start of one.
    unlink(folder("web.held"))
    try shell.group(services).start()
    #expect(Files.exists(folder("web.up")) && Files.exists(folder("db.up")))
    // Later a person stops one: starting again does not bring it back, for its stop is not Ferry's.
    unlink(folder("web.up"))
    try shell.group(services).start()
    #expect(!Files.exists(folder("web.up")))
  }

  @Test("one that does not stop in its time fails with its name, and start brings all back") func timeout() throws {
    try folder.write("web.up", "")
    try folder.write("db.up", "")
    let stubborn = shell.service("db", stop: "trap '' TERM; while :; do sleep 1; done")
    let services = [try spec(shell.service("web"), "web"), try spec(stubborn, "db", stop: .milliseconds(300))]
    let text = message { try shell.group(services).stop() }
    #expect(text.contains("service 'db'") && text.contains("at the source") && text.contains("did not stop within 0.3 s"))
    #expect(text.contains("stop-timeout"))
    try shell.group(services).start()
    #expect(Files.exists(folder("web.up")) && !Files.exists(folder("db.held")))
  }

  @Test("a stop command that ends with 0 is not believed while status says that it runs") func liar() throws {
    try folder.write("web.up", "")
    let services = [try spec(shell.service("web", stop: "true"), "web", stop: .milliseconds(300))]
    #expect(message { try shell.group(services).stop() }.contains("its status says that it still runs"))
  }

  @Test("a probe that never gets healthy fails the start with what it said last") func unhealthy() throws {
    let probe = ["sh", "-c", "echo still warming up >&2; exit 3"]
    let services = [try spec(shell.service("web"), "web", healthy: probe, healthyWithin: .milliseconds(300))]
    let text = message { try shell.group(services, .destination).start() }
    #expect(text.contains("exit code 3: still warming up") && text.contains("healthy-timeout"))
  }

  @Test("at the destination all are held before, and started after, in reverse order") func destination() throws {
    let services = try ["web", "db"].map { try spec(shell.service($0), $0) }
    let group = shell.group(services, .destination)
    try group.hold()
    #expect(Files.exists(folder("web.held")) && Files.exists(folder("db.held")))
    #expect(try group.isStopped())
    try group.start()
    let acts = shell.log.split(separator: "\n").filter { $0.hasSuffix("start") }
    #expect(acts == ["destination db start", "destination web start"])
    #expect(!Files.exists(folder("web.held")))
    #expect(try !group.isStopped())
    try group.stop()
    #expect(try group.isStopped())
    try group.release()
    #expect(!Files.exists(folder("web.up")) && !Files.exists(folder("web.held")))
  }

  @Test("at the source one that does not start again does not keep the others down") func independent() throws {
    for name in ["web.up", "db.up"] { try folder.write(name, "") }
    let services = [try spec(shell.service("web"), "web"), try spec(shell.service("db", start: "echo no disk >&2; exit 1"), "db")]
    try shell.group(services).stop()
    let text = message { try shell.group(services).start() }
    #expect(text.contains("'db'") && text.contains("no disk"))
    #expect(Files.exists(folder("web.up")))
  }

  @Test("check names a missing program and warns where exclusivity cannot be promised") func check() throws {
    let kind = ServiceSpec.Kind.command(stop: ["/nowhere/app", "stop"], start: ["true"], status: nil, hold: nil, release: nil)
    let notices = shell.group([try spec(kind, "web")]).check()
    #expect(notices.contains { $0.severity == .error && $0.text.contains("/nowhere/app") })
    #expect(notices.contains { $0.severity == .warning && $0.text.contains("no 'hold'") })
    #expect(!Files.exists(folder("notes-source")))
  }

  @Test("one without status is known by what was done with it last") func withoutStatus() throws {
    let services = [try spec(shell.service("web", status: false), "web")]
    #expect(try !shell.group(services).isStopped())
    try shell.group(services).stop()
    #expect(try shell.group(services).isStopped())
    try shell.group(services).start()
    #expect(try !shell.group(services).isStopped())
    #expect(try shell.group(services, .destination).isStopped())
  }

  @Test("a service that is not at this end is left alone") func elsewhere() throws {
    let services = [try spec(shell.service("web"), "web", destination: "")]
    try shell.group(services, .destination).start()
    #expect(shell.log == "")
  }
}
