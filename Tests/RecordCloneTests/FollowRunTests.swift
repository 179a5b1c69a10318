import Ferry
import FerryRecords
import FerrySystem
import Haystack
import TestSupport
import Testing

/// `follow: forever` as a whole run of the command.
@Suite struct FollowRunTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try Files.makeFolder(folder("plugins"))
    let plugin = "libferry-plugin-record-clone.so"
    try Files.replace(folder("plugins/\(plugin)"), with: Files.read("\(Products.folder)/\(plugin)"), mode: 0o755)
  }

  private func ferry(_ words: [String], output: Command.Output = .capture(limit: 1 << 20)) throws -> Command.Outcome {
    var command = Command([Products.ferry] + words, timeout: .seconds(240))
    command.environment["FERRY_STATE"] = folder("state")
    command.environment["FERRY_PLUGINS"] = folder("plugins")
    command.output = output
    return try command.run()
  }

  @Test("a run that follows for ever brings each change, an edited filter too, until `ferry cutover` ends it with both ends proven equal")
  func follows() throws {
    let server = try RecordStore(creating: folder("server.db"), project: "server")
    let client = try RecordStore(creating: folder("client.db"), project: "client")
    try client.commit([.add(["id": .ref(HRef("own")), "mine": .marker])])
    try server.commit((0..<300).map { .add(["id": .ref(HRef("p\($0)")), "point": .marker, "n": .number(HNumber(Double($0)))]) })
    let manifest = try folder.write(
      "follow.yaml",
      """
      ferry: 1
      name: follow
      mode: follow
      source: { node: local, name: a, home: a }
      destination: { node: local, name: b, home: b }
      state:
        - name: points
          provider: record-clone
          follow: forever
          from: { store: 'sqlite:\(server.path)' }
          to: { store: 'sqlite:\(client.path)' }
          filter: point
          update-freq: 100ms
          allow-removals: true

      """)
    let run = Lock<String?>(nil)
    let ended = Lock<Command.Outcome?>(nil)
    let over = Signal()
    let lines = Lock<[String]>([])
    Threads.detach { [self] in
      let outcome = try? ferry(
        ["run", manifest, "--json"],
        output: .lines { line in
          lines.withLock { $0.append(line) }
          if let event = try? JSONValue(parsing: line), let id = event["run"]?.string { run.withLock { $0 = id } }
        })
      ended.withLock { $0 = outcome }
      over.raise()
    }
    func waitUntil(_ what: String, _ condition: () throws -> Bool) throws {
      try waitFor(what) { try ended.withLock { $0 != nil } || condition() }
      #expect(ended.withLock { $0 == nil }, "\(what): \(lines.withLock { $0.suffix(5).joined(separator: "\n") })")
    }
    try waitUntil("the clones") { try client.count(Filter("clone")) == 300 }
    try server.commit([.update(id: "p7", ["dis": .string("Seven")]), .remove(id: "p8"), .add(["id": .ref(HRef("new")), "point": .marker])])
    try waitUntil("the changes") {
      try client.read("p7")?.tree["dis"] == .string("Seven") && client.read("p8") == nil && client.read("new") != nil
    }
    let set = try #require(try client.cloneSets().first)
    try client.put(CloneSet(id: set.id, server: set.server, filter: "point and n < 100"))
    try waitUntil("the edited filter") { try client.count(Filter("clone")) == 99 }
    let id = try #require(run.withLock { $0 })
    #expect(try ferry(["cutover", id]).succeeded)
    #expect(over.wait(atMost: .seconds(60)))
    let outcome = ended.withLock { $0 }
    #expect(outcome?.succeeded == true, "\(outcome?.errors ?? "") \(lines.withLock { $0.suffix(8).joined(separator: "\n") })")
    #expect(try ferry(["records", "verify", client.path, "--against", server.path]).succeeded)
    #expect(try client.count(Filter("clone")) == 99 && client.read("own")?.tree["mine"] == .marker)
  }
}
