@testable import Ferry
import FerrySystem
import RunSupport
import TestSupport
import Testing

@Suite("A run that is installed as a unit", .enabled(if: !Manager.missing)) struct InstallTests {
  /// `ferry` as a user of that manager has it.
  private func ferry(_ world: World, _ manager: Manager, _ arguments: String...) throws -> Command.Outcome {
    try world.command(arguments, environment: manager.environment.mapValues { $0 }).run()
  }

  @Test("goes on when its manager starts again, as at a boot; installed twice it is one run; and when it is over the unit is gone")
  func boot() async throws {
    try await Threads.run {
      let (manager, world) = (try Manager(), try World())
      let manifest = try world.manifestFile("follow")
      let installed = try ferry(world, manager, "install", manifest, "--user")
      #expect(installed.code == 0, "\(installed)")
      let run = try #require(try world.onlyRun()).id
      let unit = "ferry-run-\(run).service"
      func passes() throws -> Int {
        try world.engine.find(run).manifest.state.count * world.engine.steps(run).count { $0.step.phase == .copy && $0.succeeded }
      }
      try waitFor("a pass", seconds: 120) { try passes() > 0 }
      #expect(try ferry(world, manager, "install", manifest, "--user").code == 0)
      #expect(try world.engine.history().count == 1)

      try manager.restart()
      try world.write("after the boot")
      let before = try (passes(), world.engine.find(run).epoch)
      try waitFor("a pass after the boot", seconds: 120) { try passes() > before.0 + 1 && world.engine.find(run).epoch > 1 }
      #expect(try manager.state(unit) == "active")

      #expect(try ferry(world, manager, "cutover", run).code == 0)
      try waitFor("the run to end", seconds: 120) { try world.engine.find(run).status == .done }
      #expect(try world.complaints(serving: "b") == [])
      try waitFor("the unit to go", seconds: 60) {
        try !Files.exists(manager.folder("config/systemd/user/\(unit)")) && manager.state(unit) == "inactive"
      }
      #expect(Files.names(in: manager.folder("config/systemd/user/default.target.wants")) == [])
    }
  }

  @Test("is taken away with its controller, and can be resumed or rolled back")
  func uninstall() async throws {
    try await Threads.run {
      let (manager, world) = (try Manager(), try World())
      #expect(try ferry(world, manager, "install", world.manifestFile("follow"), "--user").code == 0)
      let run = try #require(try world.onlyRun()).id
      try waitFor("the run to be at work", seconds: 120) { try world.engine.steps(run).contains { $0.step.phase == .copy } }
      let removed = try ferry(world, manager, "uninstall", run)
      #expect(removed.code == 0, "\(removed)")
      #expect(Files.names(in: manager.folder("config/systemd/user")).filter { $0.contains("ferry") } == [])
      #expect(try ferry(world, manager, "uninstall", run).code == 10)
      let back = try ferry(world, manager, "rollback", run)
      #expect(back.code == 0, "\(back)")
      #expect(try world.complaints(serving: "a") == [])
    }
  }

  @Test("is only shown with --print, and where no systemd runs, which is then said")
  func shown() async throws {
    try await Threads.run {
      let world = try World()
      let manifest = try world.manifestFile("follow")
      let nowhere: [String: String?] = ["XDG_RUNTIME_DIR": world.folder("nowhere"), "XDG_CONFIG_HOME": world.folder("config")]
      let shown = try world.command(["install", manifest, "--user", "--print"], environment: nowhere).run()
      #expect(shown.code == 0 && shown.output.contains(" resume RUN\n") && shown.output.contains("WantedBy=default.target"), "\(shown)")
      let missing = try world.command(["install", manifest, "--user"], environment: nowhere).run()
      #expect(
        missing.code == 1 && missing.output == shown.output && missing.errors.contains("systemd does not run for this user"), "\(missing)")
      #expect(try world.engine.history() == [] && !Files.exists(world.folder("config")))
    }
  }

  @Test("must find its secrets without a terminal")
  func secrets() throws {
    let world = try World()
    let manifest = world.manifest(.follow) { $0.state[0].secrets = ["key": .env("KEY")] }
    #expect {
      _ = try world.engine.install(manifest, user: true)
    } throws: {
      "\($0)".contains("the variable KEY of this terminal")
    }
    #expect(try world.engine.history() == [])
  }
}
