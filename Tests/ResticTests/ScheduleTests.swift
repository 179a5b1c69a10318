import Ferry
import FerrySystem
import Glibc
import TestSupport
import Testing

/// Schedules without a systemd: what they run, what they say, what they write. Timers themselves are systemd's.
@Suite struct ScheduleTests {
  let folder: TemporaryFolder
  let engine: Engine

  init() throws {
    folder = try TemporaryFolder()
    try folder.write("password", "a word\n", mode: 0o600)
    try folder.write("a/one/file", "one")
    try folder.write("a/two/file", "two")
    try Files.makeFolder(folder("b"))
    try Files.makeFolder(folder("plugins"))
    try Files.replace(folder("plugins/restic.so"), with: Files.read("\(Products.folder)/libferry-plugin-restic.so"), mode: 0o755)
    engine = try Engine(
      Engine.Configuration(executable: Products.ferry, stateFolder: folder("state"), pluginFolders: [folder("plugins")]))
  }

  private func manifest(_ name: String, from: String) throws -> String {
    try folder.write(
      "\(name).yaml",
      """
      ferry: 1
      name: \(name)
      source: { node: local, name: a, home: a/home }
      destination: { node: local, name: b, home: b/home }
      repositories:
        vault: { url: '\(folder("vault"))', secrets: { password: { file: '\(folder("password"))' } } }
      state:
        - { name: state, provider: restic, from: { path: '\(from)' }, to: { path: '\(folder("b/\(name)"))' }, repository: vault/\(name)/1 }

      """)
  }

  /// Puts a schedule where `add` does, on a machine that has no systemd to ask.
  private func write(_ schedule: Schedule) throws {
    try Files.makeFolder(folder("state/schedules"))
    try Files.replace(folder("state/schedules/\(schedule.name).json"), with: JSONValue.encode(schedule))
  }

  @Test("a schedule transfers all of its manifests; one that fails does not keep the others from their backup")
  func runs() async throws {
    let paths = [
      try manifest("one", from: folder("a/one")), try manifest("gone", from: folder("a/gone")), try manifest("two", from: folder("a/two")),
    ]
    try write(Schedule(name: "nightly", transfers: paths.map { .init($0) }, calendar: "daily", user: true))
    let last = try await engine.runSchedule("nightly")
    #expect(last.exit == .checkFailed)
    #expect(last.runs.count == 3)
    #expect(last.error?.message.contains("gone") == true)
    let status = try #require(engine.scheduleStatus().first)
    #expect(status.last == last)
    for name in ["one", "two"] {
      let received = try await engine.receive(engine.load(folder("\(name).yaml")), .snapshot("latest"))
      #expect(received.exit == .done, "\(String(describing: received.error))")
      #expect(try folder.read("b/\(name)/file") == name)
      #expect(Files.exists(folder("vault/\(name)/1/config")))
    }
  }

  @Test("one manifest with parameters is transferred once for each of their values, and another as it is")
  func parameters() async throws {
    let plain = try manifest("one", from: folder("a/one"))
    let text = try folder.read("one.yaml")
    let many = try folder.write(
      "many.yaml",
      text.replacing(folder("a/one"), with: folder("a/${what}")).replacing("vault/one/1", with: "'vault/${what}/${uuid}'").replacing(
        "name: one", with: "name: many\nparameters: { what: {}, uuid: {} }"))
    let outcome = try Command(
      [
        Products.ferry, "schedule", "add", "nightly", many, plain, "--on-calendar", "daily", "--user", "--set", "many:what=one", "--set",
        "many:uuid=7", "--set", "many:what=two", "--print", "--json",
      ], environment: ["FERRY_STATE": folder("state"), "FERRY_PLUGINS": folder("plugins")], timeout: .seconds(60)
    ).run()
    #expect(outcome.succeeded, "\(outcome)")
    let set = ["many:what=one", "many:uuid=7", "many:what=two"]
    let transfers = try Schedule.Transfer.all(of: [many, plain], set: set)
    #expect(transfers.map(\.parameters) == [["what": "one", "uuid": "7"], ["what": "two", "uuid": "7"], [:]])
    try write(Schedule(name: "nightly", transfers: transfers, calendar: "daily", user: true))
    let last = try await engine.runSchedule("nightly")
    #expect(last.exit == .done, "\(String(describing: last.error))")
    #expect(last.runs.count == 3)
    for repository in ["one/7", "two/7", "one/1"] { #expect(Files.exists(folder("vault/\(repository)/config")), "\(repository)") }
  }

  @Test(
    "a parameter of no manifest, one that is none, and two that are given unequally often are refused",
    arguments: [["two:a=1"], ["a"], ["=1"], ["one:=1"], ["a=1", "a=2", "b=1", "b=2", "b=3"]])
  func unfit(_ set: [String]) {
    let error = #expect(throws: FerryError.self) { try Schedule.Transfer.all(of: ["x/one.yaml"], set: set) }
    #expect(error?.class == .invalid)
  }

  @Test("one that is at work is not begun twice: exit code 11")
  func busy() async throws {
    try write(Schedule(name: "nightly", transfers: [.init(manifest("one", from: folder("a/one")))], calendar: "daily", user: true))
    let lock = try #require(try FileLock(ifFree: folder("state/schedules/nightly.lock")))
    let outcome = try Command(
      [Products.ferry, "schedule", "run", "nightly"],
      environment: ["FERRY_STATE": folder("state"), "FERRY_PLUGINS": folder("plugins")], timeout: .seconds(60)
    ).run()
    #expect(outcome.code == 11, "\(outcome.errors)")
    lock.unlock()
    #expect(try await engine.runSchedule("nightly").exit == .done)
  }

  @Test(
    "the units say when, how late at most, and what is run; systemd finds nothing wrong in them",
    .enabled(if: Self.canVerify, "there is no systemd-analyze"))
  func units() throws {
    let schedule = Schedule(
      name: "nightly", transfers: [.init("site.yaml")], calendar: "Mon..Fri 02:30", delay: .seconds(600), user: false)
    let units = engine.units(schedule)
    #expect(units.map(\.name) == ["ferry-schedule-nightly.timer", "ferry-schedule-nightly.service"])
    #expect(units[0].text.contains("OnCalendar=Mon..Fri 02:30\nRandomizedDelaySec=600\n"))
    #expect(units[1].text.contains("schedule run nightly\n"))
    #expect(schedule.transfers[0].manifest.hasSuffix("/site.yaml") && schedule.transfers[0].manifest.hasPrefix("/"))
    for unit in units { try folder.write("units/\(unit.name)", unit.text) }
    let verified = try Command(["systemd-analyze", "verify"] + units.map { folder("units/\($0.name)") }, timeout: .seconds(60)).run()
    #expect(!verified.errors.contains("ferry-schedule"), "\(verified.errors)")
  }

  @Test(
    "where no systemd runs that is said, the units are printed, and nothing is written; `--print` prints them anywhere",
    arguments: [false, true])
  func printed(_ asked: Bool) throws {
    let path = try manifest("one", from: folder("a/one"))
    try Files.makeFolder(folder("run"))
    let outcome = try Command(
      [Products.ferry, "schedule", "add", "nightly", path, "--on-calendar", "daily", "--delay", "10m", "--user"]
        + (asked ? ["--print"] : []),
      environment: [
        "FERRY_STATE": folder("state"), "FERRY_PLUGINS": folder("plugins"), "HOME": folder("home"), "XDG_RUNTIME_DIR": folder("run"),
        "XDG_CONFIG_HOME": nil, "DBUS_SESSION_BUS_ADDRESS": nil,
      ], timeout: .seconds(60)
    ).run()
    #expect(outcome.succeeded == asked, "\(outcome)")
    for line in [
      "# ferry-schedule-nightly.timer", "OnCalendar=daily", "RandomizedDelaySec=600", "# ferry-schedule-nightly.service",
      "schedule run nightly",
    ] { #expect(outcome.output.contains(line), "\(line)") }
    if !asked { #expect(outcome.errors.contains("systemd does not run for this user"), "\(outcome.errors)") }
    #expect(!Files.exists(folder("home/.config/systemd")) && !Files.exists(folder("state/schedules")))
  }

  private static let canVerify = (try? Programs.find("systemd-analyze")) != nil

  @Test("what is not there is said, and a terminal's variable is no secret for a timer")
  func refused() async throws {
    await #expect(throws: FerryError.self) { try await engine.runSchedule("nothing") }
    await #expect(throws: FerryError.self) { try await engine.runSchedule("../nothing") }
    let path = try manifest("one", from: folder("a/one"))
    let text = try folder.read("one.yaml").split(separator: "\n").map {
      $0.contains("vault: {") ? "  vault: { url: /srv/vault, secrets: { password: { env: WORD } } }" : String($0)
    }
    try folder.write("one.yaml", text.joined(separator: "\n") + "\n")
    let error = #expect(throws: FerryError.self) {
      try engine.add(Schedule(name: "n", transfers: [.init(path)], calendar: "daily", user: true))
    }
    #expect(error?.message.contains("WORD") == true)
  }
}
