import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// The two halves apart in time, through the engine: a backup and its restore.
@Suite struct DeferredTests {
  let backup: Backup
  var folder: TemporaryFolder { backup.folder }

  init() throws {
    backup = try Backup()
    try folder.write("password", "a word that nobody knows\n", mode: 0o600)
    try folder.write("a/state/folder/file", String(repeating: "content ", count: 50_000))
    symlink("folder/file", "\(backup.from)/link")
    try Files.makeFolder(folder("plugins"))
    for name in ["restic", "example"] {
      try Files.replace(folder("plugins/\(name).so"), with: Files.read("\(Products.folder)/libferry-plugin-\(name).so"), mode: 0o755)
    }
  }

  /// An engine of a machine that knows nothing of any other.
  private func engine(_ name: String = "one", programs: String? = nil) throws -> Engine {
    let program = try programs.map {
      try folder.write("ferry", "#!/bin/sh\nPATH=\($0):$PATH exec \(Products.ferry) \"$@\"\n", mode: 0o755)
    }
    return try Engine(
      Engine.Configuration(
        executable: program ?? Products.ferry, stateFolder: folder("\(name)/state"), pluginFolders: [folder("plugins")]))
  }

  private func manifest(_ name: String = "site", more: String = "", item: String = "", to: String = "") throws -> String {
    try folder.write(
      "\(name).yaml",
      """
      ferry: 1
      name: \(name)
      source: { node: local, name: a, home: a/home }
      destination: { node: local, name: b, home: b/home }
      \(more)
      state:
        - name: state
          provider: restic
          from: { path: \(backup.from) }
          to: { path: \(to.isEmpty ? backup.to : to) }
          repository: '\(backup.repository)'
          secrets: { password: { file: \(folder("password")) } }
          \(item)

      """)
  }

  private func transfer(_ path: String) async throws -> RunResult {
    let engine = try engine()
    return try await engine.transfer(engine.load(path))
  }

  @Test("what was transferred is received by a machine that has nothing but the receipt, and is proven")
  func apart() async throws {
    let sent = try await transfer(manifest())
    try #require(sent.exit == .done, "\(String(describing: sent.error))")
    let receipt = try #require(sent.receipt)
    try receipt.write(to: folder("receipt.json"))
    let before = try Oracle.describe(backup.from)
    try Files.remove(backup.from)
    try Files.remove(folder("one"))
    try Files.remove(folder("a/home"))
    let other = try engine("two")
    let kept = try other.receipt(folder("receipt.json"))
    #expect(kept == receipt)
    let received = try await other.receive(#require(kept.transfer).manifest, .receipt(kept))
    #expect(received.exit == .done, "\(String(describing: received.error))")
    #expect(try Oracle.describe(backup.to) == before)
    #expect(received.receipt?.items.first?.destinationRoot == receipt.items.first?.sourceRoot)
    #expect(try await other.verify(received.run).isEqual)
    #expect(Files.names(in: folder("b")) == ["home", "state"])
  }

  @Test("the newest complete snapshot is taken unless another is named, and all are listed")
  func choice() async throws {
    let path = try manifest(item: "replace: true")
    let engine = try engine()
    var runs: [String] = []
    for number in 0..<3 {
      try folder.write("a/state/number", "\(number)")
      runs.append(try await transfer(path).run)
    }
    // What a run that died has left: state without a deposit.
    try #require(backup.restic("backup", "--tag", "ferry,run=dead,item=state,pass=0,name=site", backup.from).succeeded)
    let manifest = try engine.load(path)
    let listed = try await engine.snapshots(manifest)
    #expect(listed.first?.snapshots.map(\.run) == ["dead"] + runs.reversed())
    #expect(listed.first?.snapshots.map(\.complete) == [false, true, true, true])
    let tags = try backup.snapshots().first { $0["tags"]?.array?.contains(.string("run=\(runs[0])")) == true }?["tags"]?.array
    #expect(tags?.contains("item=state") == true && tags?.contains(.string("manifest=\(manifest.digest.prefix(16))")) == true)
    for (wanted, number) in [("latest", "2"), (runs[0], "0"), (listed.first?.snapshots[2].snapshot.prefix(10).description ?? "", "1")] {
      let result = try await engine.receive(manifest, .snapshot(wanted))
      #expect(result.exit == .done, "\(String(describing: result.error))")
      #expect(try folder.read("b/state/number") == number)
    }
    let refused = try await engine.receive(manifest, .snapshot("dead"))
    #expect(refused.error?.message.contains("nothing tells what it should be") == true, "\(String(describing: refused.error))")
    #expect(try await engine.receive(manifest, .snapshot("ffffffffff")).error?.class == .notFound)
    #expect(try folder.read("b/state/number") == "1")
  }

  @Test("how far restic is, and of how much, is told while it works; its summary says what was stored")
  func progress() async throws {
    let noise = try Descriptor.open(folder("a/state/noise"), O_WRONLY | O_CREAT, mode: 0o644)
    var command = Command(["head", "-c", "12000000", "/dev/urandom"])
    command.output = .descriptor(noise.number)
    try #require(command.run().succeeded)
    // Slow enough to be seen at work.
    let restic = try Programs.find("restic")
    try folder.write(
      "programs/restic",
      "#!/bin/sh\ncase \"$*\" in *'backup --json'*) exec \(restic) --limit-upload 4000 \"$@\" ;; *) exec \(restic) \"$@\" ;; esac\n",
      mode: 0o755)
    let engine = try engine(programs: folder("programs"))
    let events = Lock<[Event]>([])
    let sent = try await engine.transfer(engine.load(manifest())) { event in events.withLock { $0.append(event) } }
    try #require(sent.exit == .done, "\(String(describing: sent.error))")
    let told = events.withLock { $0 }
    // Only restic knows how much there is: what it has read shows in the bytes alone.
    #expect(told.contains { $0.kind == .progress && $0.side == .source && $0.bytesTotal ?? 0 >= 12_000_000 && $0.entriesTotal ?? 0 >= 2 })
    #expect(told.contains { $0.kind == .pass && $0.bytes ?? 0 >= 12_000_000 && $0.entries == 2 }, "\(told.filter { $0.kind == .pass })")
  }

  @Test("nothing is asked of restic twice: each of its starts derives the key anew")
  func starts() async throws {
    let engine = try engine(programs: backup.watched())
    let manifest = try engine.load(manifest(item: "replace: true"))
    func started() throws -> [String] {
      defer { try? Files.remove(folder("seen")) }
      return try folder.read("seen").split(separator: "\n").map { $0.split(separator: " ").first { !$0.hasPrefix("-") } ?? "" }
        .map(String.init)
    }
    for expected in [["version", "cat", "init", "backup"], ["version", "cat", "backup"]] {
      let sent = try await engine.transfer(manifest)
      #expect(sent.exit == .done, "\(String(describing: sent.error))")
      #expect(try started() == expected)
    }
    let received = try await engine.receive(manifest, .snapshot("latest"))
    #expect(received.exit == .done, "\(String(describing: received.error))")
    #expect(try started() == ["version", "snapshots", "restore"])
  }

  @Test("what changes between the first digest and the backup is in the proof all the same")
  func changed() async throws {
    let restic = try Programs.find("restic")
    let file = folder("a/state/late")
    try folder.write(
      "programs/restic", "#!/bin/sh\ncase \"$*\" in *'backup --json'*) echo late > '\(file)' ;; esac\nexec \(restic) \"$@\"\n", mode: 0o755)
    let path = try manifest()
    let engine = try engine(programs: folder("programs"))
    let sent = try await engine.transfer(engine.load(path))
    try #require(sent.exit == .done, "\(String(describing: sent.error))")
    #expect(try backup.snapshots().contains { $0["tags"]?.array?.contains("ferry-deposit") == true })
    let received = try await engine.receive(engine.load(path), .snapshot("latest"))
    #expect(received.exit == .done, "\(String(describing: received.error))")
    #expect(try folder.read("b/state/late") == "late\n")
    #expect(received.receipt?.items.first?.destinationRoot == sent.receipt?.items.first?.sourceRoot)
  }

  @Test("the service is stopped for the last pass only, what a dump made is in the backup, and the cleanup is done")
  func dump() async throws {
    try service()
    try hook("copy/source/10-dump", "cp \(backup.from)/folder/file \(backup.from)/dump")
    try hook("ended/source/10-cleanup", "rm -f \(backup.from)/dump; echo cleaned >> \(folder("ended"))")
    let path = try manifest(more: Self.services(folder))
    let sent = try await transfer(path)
    #expect(sent.exit == .done, "\(String(describing: sent.error))")
    #expect(Files.exists(folder("serves")))
    #expect(try folder.read("acts") == "stop\nstart\n")
    #expect(Files.names(in: backup.from) == ["folder", "link"])
    #expect(try backup.snapshots().filter { $0["tags"]?.array?.contains("ferry") == true }.count == 1)
    let received = try await engine().receive(engine().load(path), .snapshot("latest"))
    #expect(received.exit == .done, "\(String(describing: received.error))")
    #expect(Files.names(in: backup.to) == ["dump", "folder", "link"])
    #expect(try folder.read("ended") == "cleaned\n")
  }

  @Test("a dump that fails ends the transfer before the service is touched, and the cleanup is done all the same")
  func dumpFails() async throws {
    try service()
    try hook("copy/source/10-dump", "echo half > \(backup.from)/dump; echo no >&2; exit 3")
    try hook("ended/source/10-cleanup", "rm -f \(backup.from)/dump; echo cleaned >> \(folder("ended"))")
    let sent = try await transfer(manifest(more: Self.services(folder)))
    #expect(sent.exit == .failed)
    #expect(sent.status == .undone)
    #expect(sent.error?.message.contains("10-dump") == true)
    #expect(Files.names(in: backup.from) == ["folder", "link"])
    #expect(try folder.read("ended") == "cleaned\n")
    #expect(!Files.exists(folder("acts")))
    #expect(try backup.snapshots().isEmpty)
  }

  @Test("a restore that fails half-way leaves what was there")
  func halfWay() async throws {
    let path = try manifest(item: "replace: true")
    _ = try await transfer(path)
    try folder.write("b/state/precious", "precious")
    for pack in backup.packs() {
      chmod(pack, 0o600)
      truncate(pack, 100)
    }
    let engine = try engine()
    let result = try await engine.receive(engine.load(path), .snapshot("latest"))
    #expect(result.exit == .failed)
    #expect(result.status == .undone)
    #expect(try folder.read("b/state/precious") == "precious")
    #expect(Files.names(in: folder("b")) == ["home", "state"])
  }

  @Test("what is stored but is not what was proven is not brought into service")
  func forged() async throws {
    let path = try manifest()
    let run = try await transfer(path).run
    let snapshot = try #require(backup.snapshots().first { $0["tags"]?.array?.contains("ferry") == true })
    let genuine = try #require(snapshot["id"]?.string)
    let tags = snapshot["tags"]?.array?.compactMap(\.string) ?? []
    #expect(tags.contains("run=\(run)") && tags.contains { $0.hasPrefix("proof.root=") })
    try folder.write("a/state/folder/file", "forged")
    var command = Command(
      ["restic", "-r", backup.repository, "backup", "--no-cache", "--tag", tags.joined(separator: ","), "./state"],
      environment: ["RESTIC_PASSWORD": "a word that nobody knows"])
    command.directory = folder("a")
    try #require(command.run().succeeded)
    try #require(backup.restic("forget", genuine).succeeded)
    let engine = try engine()
    let result = try await engine.receive(engine.load(path), .snapshot("latest"))
    #expect(result.exit == .mismatch, "\(String(describing: result.error))")
    #expect(!Files.exists(backup.to))
  }

  @Test("a transfer whose ferry is killed goes on when it is resumed", arguments: ["final#0 intended", "verify/deposit@source intended"])
  func killed(_ point: String) async throws {
    let path = try manifest()
    #expect(try ferry("transfer", path, fault: "controller@\(point)").code == 137)
    let run = try #require(engine().history().first)
    #expect(run.status == .running)
    let resumed = try ferry("resume", run.id)
    #expect(resumed.code == 0, "\(resumed.errors)")
    let received = try ferry("receive", run.id)
    #expect(received.code == 0, "\(received.errors)")
    #expect(try Oracle.describe(backup.to) == Oracle.describe(backup.from))
    #expect(try ferry("snapshots", path).output.contains(run.id))
  }

  @Test("a transfer whose ferry is killed in the middle of a backup leaves no restic at work, and is whole when it is resumed")
  func killedInBackup() async throws {
    let noise = try Descriptor.open(folder("a/state/noise"), O_WRONLY | O_CREAT, mode: 0o644)
    var command = Command(["head", "-c", "150000000", "/dev/urandom"])
    command.output = .descriptor(noise.number)
    try #require(command.run().succeeded)
    let null = try Descriptor.open("/dev/null", O_RDWR)
    let process = try ChildProcess.spawn(
      [Products.ferry, "transfer", manifest()],
      environment: ["FERRY_STATE": folder("one/state"), "FERRY_PLUGINS": folder("plugins")],
      descriptors: [0: null.number, 1: null.number, 2: null.number])
    try waitFor("the first pack") { !backup.packs().isEmpty }
    kill(process.pid, SIGKILL)
    process.wait()
    try #require(backup.snapshots().isEmpty, "it was over before it was killed")
    try waitFor("the end of its restic") {
      try !Command(["sh", "-c", "grep -lsz 'RESTIC_REPOSITORY=\(backup.repository)$' /proc/[0-9]*/environ"]).run().succeeded
    }
    let run = try #require(engine().history().first).id
    let resumed = try ferry("resume", run)
    #expect(resumed.code == 0, "\(resumed.errors)")
    let received = try ferry("receive", run)
    #expect(received.code == 0, "\(received.errors)")
    #expect(try Oracle.describe(backup.to) == Oracle.describe(backup.from))
  }

  @Test("two transfers into one repository at once both come to their end")
  func atOnce() async throws {
    let (one, two) = (try manifest("one", item: "keep: { last: 1 }"), try manifest("two", item: "keep: { last: 1 }", to: folder("b/two")))
    try #require(backup.restic("init").succeeded)
    let engine = try engine()
    // They read the same folder: each end's lock is on its own home.
    var second = try engine.load(two)
    second.source.home = folder("a/second")
    async let left = engine.transfer(engine.load(one))
    async let right = engine.transfer(second)
    let results = try await [left, right]
    #expect(results.map(\.exit) == [.done, .done], "\(results.compactMap(\.error))")
    for (path, place) in [(one, backup.to), (two, folder("b/two"))] {
      let received = try await engine.receive(engine.load(path), .snapshot("latest"))
      #expect(received.exit == .done, "\(path): \(String(describing: received.error))")
      #expect(try Oracle.describe(place) == Oracle.describe(backup.from))
    }
  }

  @Test("what cannot be deferred is refused in check: a provider without a store, a move, a repository behind the channel")
  func refused() async throws {
    let engine = try engine()
    let path = try folder.write(
      "example.yaml",
      """
      ferry: 1
      name: example
      source: { node: local, name: a, home: a/home }
      destination: { node: local, name: b, home: b/home }
      state: [{ name: file, provider: example-file, from: { file: \(folder("a/state/folder/file")) }, to: { file: \(folder("b/file")) } }]

      """)
    let result = try await engine.transfer(engine.load(path))
    #expect(result.exit == .checkFailed)
    #expect(result.error?.message.contains("cannot be deferred") == true)
    await #expect(throws: FerryError.self) { try await engine.transfer(engine.load(manifest(more: "mode: move"))) }
    let text = try String(decoding: Files.read(manifest()), as: UTF8.self)
    let channel = try folder.write(
      "channel.yaml",
      text.split(separator: "\n").map { line in
        line.contains("repository:") ? "    repository: channel:\(folder("repository"))" : String(line)
      }.joined(separator: "\n"))
    #expect(try await engine.transfer(engine.load(channel)).error?.message.contains("no channel without a destination") == true)
  }

  // MARK: What surrounds the state

  private func hook(_ path: String, _ script: String) throws {
    try folder.write("hooks/\(path)", "#!/bin/sh\ncat > /dev/null\n\(script)\n", mode: 0o755)
    for name in ["hooks"]
      + path.split(separator: "/").dropLast().indices.map({ "hooks/" + path.split(separator: "/").dropLast()[...$0].joined(separator: "/") }
      )
    {
      chmod(folder(name), 0o755)
    }
  }

  private func service() throws {
    try folder.write("serves", "")
    try folder.write(
      "service",
      "#!/bin/sh\ncd \"${0%/*}\"\n[ $1 = status ] && exec test -e serves\necho $1 >> acts\n[ $1 = stop ] && exec rm -f serves\n: > serves\n",
      mode: 0o755)
  }

  private static func services(_ folder: TemporaryFolder) -> String {
    let program = folder("service")
    return """
      hooks: hooks
      services:
        - name: ledger
          command: { stop: [\(program), stop], start: [\(program), start], status: [\(program), status] }
          destination: { name: '' }
      """
  }

  private func ferry(_ arguments: String..., fault: String? = nil) throws -> Command.Outcome {
    var command = Command([Products.ferry] + arguments, timeout: .seconds(240))
    command.environment = ["FERRY_STATE": folder("one/state"), "FERRY_PLUGINS": folder("plugins"), "FERRY_FAULT": fault]
    return try command.run()
  }
}
