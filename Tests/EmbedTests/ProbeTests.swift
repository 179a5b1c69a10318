import Ferry
import FerrySystem
import RunSupport
import TestSupport
import Testing

/// What the library does to a process that uses it, asked by Programs/probe.c.
@Suite("libferry in a process of its own") struct ProbeTests {
  private let installed: Installed

  init() throws { installed = try Installed() }

  private func probe(_ what: String, _ worlds: [(World, String)], _ flags: [String] = ["-fsanitize=address"], more: [String] = []) throws
    -> JSONValue
  {
    let program = try installed.compile("Tests/EmbedTests/Programs/probe.c", flags)
    let world = worlds[0].0
    let arguments = worlds.flatMap { [$0.folder("state"), $1] } + more
    let outcome = try installed.run([program, what, Products.ferry, world.folder("plugins")] + arguments, in: world)
    #expect(outcome.code == 0 && outcome.errors == "", "\(outcome.code) \(outcome.errors)")
    return try JSONValue(parsing: outcome.output.split(separator: "\n").last ?? "null")
  }

  @Test("a hundred engines, ten of them with a run, leave no descriptor, no thread and no memory")
  func hundred() throws {
    let world = try World()
    // Without a sanitizer, whose quarantine is memory that grows.
    let manifest = try world.folder.write(
      "plain.yaml",
      """
      ferry: 1
      name: plain
      mode: copy
      source: { node: local, name: a, home: a/home }
      destination: { node: local, name: b, home: b/home }
      state:
        - name: ledger
          provider: example-file
          from: { file: '\(world.folder("a/ledger"))' }
          to: { file: '\(world.folder("b/ledger"))' }

      """)
    let found = try probe("hundred", [(world, manifest)], ["-O1"])
    #expect(found["failed"]?.int == 0)
    #expect(found["fds"]?.int == found["fdsBefore"]?.int)
    #expect(try #require(found["threads"]?.int) <= #require(found["threadsBefore"]?.int), "\(found)")
    #expect(try #require(found["grownKiB"]?.int) < 4096, "\(found)")
  }

  @Test("two engines with a run each, at once, hear only of their own run, and change nothing of the process")
  func pair() throws {
    let (one, two) = (try World(), try World())
    let found = try probe("pair", [(one, one.manifestFile()), (two, two.manifestFile())])
    #expect(found["codes"] == [0, 0] && found["strangers"]?.int == 0, "\(found)")
    #expect(found["surroundings"] == .bool(true))
    for world in [one, two] { #expect(try world.complaints(serving: "b") == []) }
  }

  @Test("cancel from another thread in the middle of a run: it goes back, and its result says so")
  func cancelled() throws {
    let world = try World()
    let found = try probe("cancelled", [(world, world.manifestFile())])
    #expect(found["asked"]?.int == 1 && found["code"]?.int == 130 && found["class"]?.string == "cancelled", "\(found)")
    #expect(found["status"]?.int == Int64(ErrorClass.cancelled.status))
    #expect(try world.complaints(serving: "a") == [])
  }

  @Test("a check and a plan that wait are ended from another thread; another engine's go on, and nothing is left behind")
  func interrupted() throws {
    let world = try World()
    try Misbehaviour.install(in: world)
    try world.folder.write("misbehave", "source check wait")
    let found = try probe(
      "interrupted", [(world, world.manifestFile())], more: [world.folder("misbehave-reached"), world.folder("misbehave")])
    let cancelled: JSONValue = [.int(Int64(ErrorClass.cancelled.status)), "cancelled"]
    #expect(found == [cancelled, cancelled, [0, ""]], "\(found)")
    #expect(try world.complaints(serving: "a") == [])
    try waitFor("the visits' agents to end") { world.processes().isEmpty }
  }

  @Test("a handle that is closed in the middle of a run has it go back first")
  func closed() throws {
    let world = try World()
    let found = try probe("closed", [(world, world.manifestFile())])
    #expect(found["status"]?.string == "undone" && found["atWork"] == .bool(false), "\(found)")
    #expect(try world.complaints(serving: "a") == [])
  }
}
