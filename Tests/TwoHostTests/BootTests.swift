@testable import Ferry
import FerrySystem
import HostSupport
import RunSupport
import TestSupport
import Testing

/// The systemd of a host's root, as a boot starts it for a user who lingers.
private struct HostManager: Sendable {
  static let isMissing: Bool = {
    let missing = !Files.exists("/lib/systemd/systemd") || (try? Programs.find("systemctl")) == nil
    if missing { print("skipped: there is no systemd here") }
    return missing
  }()

  let host: TestHost

  /// Starts it, and returns when it has started all that is enabled.
  func boot() throws {
    _ = try host.command(["mkdir", "-p", "/run/systemd/system", "/run/user/0"]).run()
    var manager = try host.command(["/lib/systemd/systemd", "--user"])
    manager.environment["XDG_RUNTIME_DIR"] = "/run/user/0"
    manager.timeout = nil
    Threads.detach { [manager] in _ = try? manager.run() }
    try waitFor("the host's systemd to be up", seconds: 120) { try state("default.target") == "active" }
  }

  func state(_ unit: String) throws -> String {
    try systemctl("show", "--property=ActiveState", "--value", unit).output.filter { !$0.isWhitespace }
  }

  @discardableResult func systemctl(_ arguments: String...) throws -> Command.Outcome {
    var command = try host.command(["systemctl", "--user", "--no-pager"] + arguments)
    command.environment["XDG_RUNTIME_DIR"] = "/run/user/0"
    return try command.run()
  }
}

@Suite("A boot in the middle of a run", .enabled(if: TestHosts.available && !HostManager.isMissing)) struct BootTests {
  @Test("starts what is enabled, but not the unit that the run holds down; the same run then goes on to its end")
  func unit() async throws {
    let world = try World(hosts: ["a"])
    let host = try #require(try world.hosts?["a"])
    let manager = HostManager(host: host)
    for (name, more) in [("ledger", "Restart=always"), ("other", "")] {
      try world.folder.write(
        "hosts/a/home/.config/systemd/user/\(name).service",
        "[Service]\nExecStart=sleep 100000\n\(more)\n[Install]\nWantedBy=default.target\n")
    }
    try await Threads.run {
      try manager.boot()
      try manager.systemctl("enable", "--now", "ledger", "other")
      try world.hosts?.reboot("a")
      try manager.boot()
      try waitFor("a boot to start the unit") { try manager.state("ledger") == "active" }
    }
    var manifest = world.manifest {
      $0.retry = .seconds(300)
      $0.cutover.holdBefore = [.activate]
    }
    manifest.services = [
      ServiceSpec(name: "ledger", kind: .systemd(unit: "ledger.service", user: true), source: .init(), destination: .init(name: ""))
    ]
    let states = Collected<String>()
    let engine = world.engine
    let result = try await world.run(manifest) { event in
      guard event.kind == .waiting, states.all.isEmpty else { return }
      do {
        try world.hosts?.reboot("a")
        try manager.boot()
        try waitFor("the boot to start the other unit") { try manager.state("other") == "active" }
        for state in [try manager.state("ledger"), "start: \(try manager.systemctl("start", "ledger").code)"] { states.add(state) }
      } catch { states.add("\(error)") }
      try? engine.proceed(event.run)
    }
    #expect(states.all == ["inactive", "start: 1"])
    #expect(result.exit == .done, "\(result)")
    #expect(try world.folder.read("b/ledger").contains("first"))
    #expect(try manager.state("ledger") == "inactive")
  }
}
