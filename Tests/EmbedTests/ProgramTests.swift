import Ferry
import FerrySystem
import Glibc
import RunSupport
import TestSupport
import Testing

/// The programs of docs/embed.md, built as it says and run. What is C is built with AddressSanitizer.
@Suite("The programs in Examples/embed") struct ProgramTests {
  private static let compiled = Result { () -> (Installed, String) in
    let installed = try Installed()
    return (installed, try installed.compile("Examples/embed/c/move.c"))
  }
  private let installed: Installed
  private let move: String

  init() throws { (installed, move) = try Self.compiled.get() }

  /// The kinds of a run's lines, with what they are about; progress and logs come when they come.
  private func kinds(_ output: String) throws -> [String] {
    try output.split(separator: "\n").map { try JSONValue(parsing: $0) }.filter { !["progress", "log"].contains($0["kind"]?.string) }.map {
      [$0["kind"], $0["phase"], $0["item"], $0["side"]].compactMap { $0?.string }.joined(separator: " ")
    }
  }

  @Test("the C program moves a service, and its lines are those of `ferry run --json`")
  func c() throws {
    let (world, other) = (try World(), try World())
    let outcome = try installed.run([move, world.manifestFile()], in: world)
    #expect(outcome.code == 0 && !outcome.errors.contains("Sanitizer"), "\(outcome.errors)")
    #expect(try world.complaints(serving: "b") == [])
    #expect(outcome.errors.contains("\"phases\":["))
    let same = try other.ferry("run", other.manifestFile(), "--json")
    #expect(try kinds(outcome.output) == kinds(same.output))
    #expect(try kinds(outcome.output).last == "result")
  }

  /// Runs the C program, which waits before its seal for `meanwhile`. That gets the program's process.
  private func waiting(_ world: World, _ meanwhile: @escaping @Sendable (_ pid: Int32) throws -> Void) throws -> Command.Outcome {
    let manifest = try world.manifestFile(extra: "cutover: { hold-before: [seal] }")
    let pid = world.folder("pid")
    let ended = Lock<Command.Outcome?>(nil)
    _ = try Threads.map([true, false]) { isProgram in
      if isProgram {
        let outcome = try installed.run(["/bin/sh", "-c", "echo $$ >\(pid); exec \"$0\" \"$1\"", move, manifest], in: world)
        return ended.withLock { $0 = outcome }
      }
      try waitFor("the run to wait before its seal", seconds: 120) { try world.hasSaid("\"kind\":\"waiting\"") }
      let number = try Int32(world.folder.read("pid").filter(\.isNumber))
      try meanwhile(try #require(number))
    }
    return try #require(ended.withLock { $0 })
  }

  @Test("Ctrl-C in the C program has the run go back")
  func interrupt() throws {
    let world = try World()
    let outcome = try waiting(world) { kill($0, SIGINT) }
    #expect(outcome.code == 130 && outcome.errors.contains("cancelled: "), "\(outcome.errors)")
    #expect(try world.complaints(serving: "a") == [])
  }

  @Test("the C program tells all that is wrong in a manifest")
  func invalid() throws {
    let world = try World()
    let outcome = try installed.run([move, world.manifestFile(extra: "colour: red\nshape: round")], in: world)
    #expect(outcome.code == 2 && outcome.output == "")
    #expect(outcome.errors.hasPrefix("invalid: the manifest has 2 errors; nothing was changed\n"), "\(outcome.errors)")
    #expect(outcome.errors.contains("unknown key 'colour'") && outcome.errors.contains("unknown key 'shape'"))
  }

  @Test("a dead agent is an error of the run, and no signal to the program")
  func lostAgent() throws {
    let world = try World()
    let outcome = try waiting(world) { _ in
      let agents = world.processes().filter { pid in
        let words = ((try? Files.read("/proc/\(pid)/cmdline")) ?? []).split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        return words.dropFirst().first == "agent" && words.contains(world.folder("a/home"))
      }
      #expect(agents.count == 1)
      for agent in agents { kill(agent, SIGKILL) }
      let run = try world.onlyRun()
      try world.engine.proceed(try #require(run).id)
    }
    #expect(outcome.code == 1 && outcome.errors.contains("the agent on a was ended by signal 9"), "\(outcome.code) \(outcome.errors)")
    #expect(try world.complaints(serving: "a") == [])
  }

  @Test("what the environment says for tests of the command strikes no program that embeds Ferry")
  func faults() throws {
    let world = try World()
    let points = world.folder("points")
    for fault in ["controller@1", "list:\(points)"] {
      let outcome = try installed.run([move, world.manifestFile()], in: world, environment: ["FERRY_FAULT": fault])
      #expect(outcome.code != 137 && outcome.output.contains("\"kind\":\"result\""), "\(fault): \(outcome.reason)")
    }
    #expect(!Files.exists(points))
    #expect(try world.complaints(serving: "b") == [])
    // The same order to the command is obeyed.
    let other = try World()
    #expect(try other.ferry("run", other.manifestFile(), fault: "list:\(points)").succeeded && Files.exists(points))
  }

  @Test("a duration is a number of seconds, in the library's JSON as in the command's, and Swift's own form is still read")
  func durations() throws {
    let world = try World()
    let manifest = try world.manifestFile(extra: "cutover: { max-downtime: 1m30s, watchdog: 2m500ms }")
    let program = try installed.run([move, manifest], in: world)
    let line = try #require(program.errors.split(separator: "\n").first { $0.hasPrefix("run ") })
    let shown = [
      try JSONValue(parsing: line.drop { $0 != "{" })["manifest"],
      try JSONValue(parsing: world.ferry("plan", manifest, "--json").output)["manifest"],
    ]
    for manifest in shown {
      #expect(manifest?["cutover"]?["maxDowntime"] == 90 && manifest?["cutover"]?["watchdog"] == .double(120.5), "\(shown)")
      #expect(manifest?["services"]?.array?.first?["stopTimeout"] == 60)
    }
    var read = try #require(shown[0])
    #expect(try read.decode(Manifest.self).cutover.watchdog == .milliseconds(120_500))
    #expect(try JSONValue(encoding: read.decode(Manifest.self)) == read)
    var cutover = try #require(read["cutover"])
    cutover["maxDowntime"] = try JSONValue(encoding: [Duration.seconds(90)]).array?.first
    read["cutover"] = cutover
    #expect(try read.decode(Manifest.self).cutover.maxDowntime == .seconds(90))
  }

  @Test("the Python program moves a service by ctypes, from a manifest in memory")
  func python() throws {
    let world = try World()
    let script = "\(Products.repository)/Examples/embed/python/move.py"
    let broken = try installed.run([script, installed.library, world.manifestFile(extra: "colour: red")], in: world)
    #expect(broken.code == 2 && broken.errors.contains("world.yaml:17:1: unknown key 'colour'"), "\(broken.errors)")
    let outcome = try installed.run([script, installed.library, world.manifestFile()], in: world)
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(outcome.output.hasPrefix("phase-began check\nphase-began prepare\n"), "\(outcome.output)")
    #expect(outcome.output.hasSuffix("\nresult done\n"), "\(outcome.output)")
    #expect(try world.complaints(serving: "b") == [])
  }

  @Test("libferry finds its ferry beside itself, else in PATH, and says so where there is none")
  func finding() throws {
    let world = try World()
    let lone = try TemporaryFolder()
    try Files.makeFolder(lone("lib"))
    try Files.replace(lone("lib/libferry.so.1"), with: Files.read(installed.library), mode: 0o755)
    #expect(symlink("\(installed.stage)/lib/ferry", lone("lib/ferry")) == 0)
    let manifest = try world.manifestFile(extra: "colour: red")
    func opened(_ path: String) throws -> Command.Outcome {
      try installed.run([move, manifest], in: world, environment: ["LD_LIBRARY_PATH": lone("lib"), "PATH": path])
    }
    let nowhere = try opened("/nonexistent")
    #expect(nowhere.code == 10 && nowhere.errors.hasPrefix("not-found: there is no `ferry` program"), "\(nowhere.errors)")
    // An engine that is open has found one: the manifest is looked at.
    #expect(try opened("\(installed.stage)/bin").errors.contains("unknown key 'colour'"))
    try Files.makeFolder(lone("bin"))
    #expect(symlink(Products.ferry, lone("bin/ferry")) == 0)
    #expect(try opened("/nonexistent").errors.contains("unknown key 'colour'"))
  }
}
