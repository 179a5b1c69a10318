import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// A user's systemd of the test's own, and one item on it. Both ends are the same manager: between them the test makes it what another
/// machine's would be.
private final class Bench: Sendable {
  let folder: TemporaryFolder
  private let manager: ChildProcess
  private let environment: [String: String?]

  static let missing = geteuid() != 0 || access("/lib/systemd/systemd", X_OK) != 0

  init() throws {
    // systemctl believes in systemd only where the system runs on it.
    try Files.makeFolder("/run/systemd/system", mode: 0o755)
    folder = try TemporaryFolder()
    for name in ["run", "home", "config/systemd/user", "programs"] { try Files.makeFolder(folder(name)) }
    environment = [
      "XDG_RUNTIME_DIR": folder("run"), "HOME": folder("home"), "XDG_CONFIG_HOME": folder("config"), "XDG_DATA_HOME": folder("home/data"),
    ]
    let exports = environment.map { "\($0.key)=\($0.value ?? "")" }.joined(separator: " ")
    try folder.write("programs/systemctl", "#!/bin/sh\nexport \(exports)\nexec \(try Programs.find("systemctl")) \"$@\"\n", mode: 0o755)
    let log = try Descriptor.open(folder("log"), O_WRONLY | O_CREAT)
    let null = try Descriptor.open("/dev/null", O_RDONLY)
    manager = try ChildProcess.spawn(
      ["/lib/systemd/systemd", "--user"], environment: environment, descriptors: [0: null.number, 1: log.number, 2: log.number])
    try waitFor("the user manager", seconds: 120) { try systemctl("show", "--property=Version").succeeded }
  }

  deinit {
    _ = try? systemctl("exit")
    _ = kill(manager.pid, SIGTERM)
    manager.wait()
  }

  @discardableResult func systemctl(_ arguments: String...) throws -> Command.Outcome {
    try Command(["systemctl", "--user", "--no-pager"] + arguments, environment: environment, timeout: .seconds(60)).run()
  }

  func unit(_ name: String, _ text: String) throws { try folder.write("config/systemd/user/\(name)", text) }

  /// `enabled active`, and the like.
  func state(_ unit: String) throws -> String {
    let words = [try systemctl("is-enabled", unit).output, try systemctl("is-active", unit).output]
    return words.map { $0.filter { !$0.isWhitespace } }.joined(separator: " ")
  }

  func harness(_ keys: [String: JSONValue] = [:]) throws -> Harness {
    try Harness(
      product: "systemd-units", provider: "systemd-units", folder: folder, from: ["manager": "user"], to: ["manager": "user"],
      keys: keys.merging(["units": ["wiki*.service", "clean.timer", "backup1.timer"]]) { own, _ in own }, programs: folder("programs"))
  }
}

@Suite(.serialized, .enabled(if: !Bench.missing, "a systemd of the test's own needs root and systemd")) struct SystemdUnitsTests {
  private let bench: Bench

  init() throws {
    bench = try Bench()
    for name in ["wiki", "wiki-idle", "wiki-off", "other"] {
      try bench.unit("\(name).service", "[Service]\nExecStart=sleep 1000\n[Install]\nWantedBy=default.target\n")
    }
    for name in ["clean", "backup1"] {
      try bench.unit("\(name).service", "[Service]\nType=oneshot\nExecStart=true\n")
      try bench.unit("\(name).timer", "[Timer]\nOnActiveSec=1h\n[Install]\nWantedBy=timers.target\n")
    }
    try bench.systemctl("daemon-reload")
    try bench.systemctl("enable", "--now", "wiki.service", "clean.timer", "backup1.timer", "other.service")
    try bench.systemctl("enable", "wiki-idle.service")
  }

  @Test("what is enabled and running arrives so, backups' timers stay, and what was there comes back")
  func carried() throws {
    let harness = try bench.harness()
    #expect(try harness.call(.source, .check)["entries"] == 4)
    try harness.prepare()
    try harness.pass()
    try harness.pass(final: true)
    #expect(try harness.digest(.source) == harness.digest(.destination))
    // Another machine: nothing of it is enabled but what is off at the source.
    try bench.systemctl("disable", "--now", "wiki.service", "clean.timer", "backup1.timer", "wiki-idle.service", "other.service")
    try bench.systemctl("enable", "--now", "wiki-off.service")
    for _ in 0..<2 { try harness.call(.destination, .activate) }
    #expect(try bench.state("wiki.service") == "enabled active")
    #expect(try bench.state("clean.timer") == "enabled active")
    #expect(try bench.state("wiki-idle.service") == "enabled inactive")
    #expect(try bench.state("wiki-off.service").hasPrefix("disabled"))
    #expect(try bench.state("backup1.timer") == "disabled inactive")
    #expect(try bench.state("other.service") == "disabled inactive")
    #expect(try harness.digest(.destination, target: "active") == harness.digest(.source))
    for _ in 0..<2 {
      harness.killBoth()
      try harness.call(.destination, .deactivate)
      #expect(try bench.state("wiki.service") == "disabled inactive")
      #expect(try bench.state("clean.timer") == "disabled inactive")
      #expect(try bench.state("wiki-off.service") == "enabled active")
    }
  }

  @Test("a unit that the run holds down is enabled when it is let go of")
  func held() throws {
    let harness = try bench.harness()
    try harness.prepare()
    try harness.pass(final: true)
    try bench.systemctl("disable", "--now", "wiki.service", "clean.timer")
    try bench.systemctl("mask", "--runtime", "wiki.service")
    try harness.call(.destination, .activate)
    #expect(try bench.state("clean.timer") == "enabled active")
    #expect(try harness.digest(.destination, target: "active") == harness.digest(.source))
    try bench.systemctl("unmask", "--runtime", "wiki.service")
    harness.killBoth()
    for _ in 0..<2 { try harness.call(.destination, .release) }
    #expect(try bench.state("wiki.service") == "enabled active")
  }

  @Test("a unit that is not installed at the destination fails the final pass by name; no unit at all fails the check of the source")
  func absent() throws {
    let harness = try bench.harness()
    try harness.prepare()
    try bench.systemctl("disable", "--now", "clean.timer")
    try Files.remove(bench.folder("config/systemd/user/clean.timer"))
    try bench.systemctl("daemon-reload")
    try harness.pass()
    #expect(failure { try harness.pass(final: true) }?.message.contains("no unit clean.timer") == true)
    #expect(failure { try bench.harness(["units": ["nothing*.service"]]).prepare() }?.class == .precondition)
  }

  @Test("a move's source starts none of them again")
  func retired() throws {
    let harness = try bench.harness()
    try harness.prepare()
    for _ in 0..<2 { try harness.call(.source, .retire) }
    #expect(try bench.state("wiki.service").hasPrefix("disabled"))
    #expect(try bench.state("other.service") == "enabled active")
  }
}
