@testable import Ferry
import FerrySystem
import Testing
import RunSupport
import TestSupport

@Suite("Hooks stand around the phases of a run") struct RunHookTests {
  private func world(_ hooks: [String: String]) throws -> World {
    let world = try World()
    for (path, script) in hooks { try world.folder.write("hooks/\(path)", "#!/bin/sh\n\(script)\n", mode: 0o755) }
    return world
  }

  @Test("they run in order, on their side, before and after the act, and see what earlier ones said")
  func order() async throws {
    let world = try world([:])
    let note = "input=$(cat); echo \"NAME $input\" >> \(world.folder("log"))"
    func script(_ name: String, _ more: String = "") -> String { note.replacing("NAME", with: name) + "\n" + more }
    for (path, text) in [
      "quiesce/source/10-before": script("quiesce-before", #"echo '{"dump": "made"}'"#), "quiesce/source/60-after": script("quiesce-after"),
      "activate/destination/10-before": script("activate-before"), "switch/controller/50-dns": script("switch"),
    ] { try world.folder.write("hooks/\(path)", "#!/bin/sh\n\(text)\n", mode: 0o755) }
    let result = try await world.run(world.manifest { $0.hooks = world.folder("hooks") })
    #expect(result.exit == .done, "\(result)")
    let lines = try world.folder.read("log").split(separator: "\n")
    #expect(lines.map { String($0.prefix { $0 != " " }) } == ["quiesce-before", "quiesce-after", "activate-before", "switch"])
    let last = try JSONValue(parsing: lines[3].drop { $0 != "{" })
    #expect(last["dump"]?.string == "made")
    #expect(last["run"]?.string == result.run && last["phase"]?.string == "switch" && last["node"]?.string == "controller")
  }

  @Test("one that fails ends the phase, the run goes back, and the notifications of `failed/` are told why")
  func failing() async throws {
    let world = try world([:])
    try world.folder.write("hooks/final/destination/10-stop", "#!/bin/sh\necho no thanks >&2\nexit 7\n", mode: 0o755)
    try world.folder.write("hooks/final/controller/failed/10-mail", "#!/bin/sh\ncat > \(world.folder("mail"))\n", mode: 0o755)
    let result = try await world.run(world.manifest { $0.hooks = world.folder("hooks") })
    #expect(result.status == .undone && result.exit == .failed, "\(result)")
    #expect(result.error?.message.contains("10-stop") ?? false)
    #expect(try world.complaints(serving: "a") == [])
    #expect(try JSONValue(parsing: world.folder.read("mail"))["error"]?.string?.contains("10-stop") ?? false)
  }

  @Test("a hook folder that is wrong is refused before the run begins")
  func refused() async throws {
    let world = try world(["quiesze/source/10-x": "true"])
    await #expect(throws: FerryError.self) { try await world.run(world.manifest { $0.hooks = world.folder("hooks") }) }
    #expect(try world.engine.history() == [])
  }
}
