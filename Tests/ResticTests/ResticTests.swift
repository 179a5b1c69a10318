import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite struct ResticTests {
  let backup: Backup

  init() throws { backup = try Backup() }

  @Test("awkward things arrive as they are, but sockets and links with several names", arguments: [true, false])
  func awkward(_ throughChannel: Bool) throws {
    let tree = try AwkwardTree(at: backup.from, AwkwardTree.Part.allCases.filter { ![.flags, .sparse, .depth].contains($0) }, crowd: 200)
    defer { tree.release() }
    // What restic 0.14 does not keep, and what `verify` then finds: see the next test.
    for lost in ["attributes/link", "links/bytes"] { try Files.remove("\(backup.from)/\(lost)") }
    let harness = try backup.harness(throughChannel ? "channel:\(backup.repository)" : nil)
    #expect(try backup.errors(harness, .source) == [])
    let digests = try backup.move(harness)
    #expect(digests.source == digests.destination)
    let (left, right) = (try Oracle.describe(backup.from), try Oracle.describe(backup.to))
    // A socket's mode begins with 14; the name of the file that another name belongs to stands after `first`.
    let carried = left.filter { !$0.contains(" 0o14") }.map(Self.withoutSharedLinks)
    #expect(carried == right.map(Self.withoutSharedLinks))
    #expect(carried.count > 250)
    #expect(Files.names(in: backup.folder("b")) == ["state"])
  }

  @Test("what restic does not keep is found by the proof", .enabled(if: geteuid() == 0, "links have attributes for root only"))
  func lost() throws {
    try backup.folder.write("a/state/file", "")
    symlink("x", "\(backup.from)/link")
    try #require(try Command(["setfattr", "-h", "-n", "trusted.ferry", "-v", "x", "\(backup.from)/link"]).run().succeeded)
    let digests = try backup.harness().moveUntilVerified()
    #expect(digests.source["root"] != digests.destination["root"])
    #expect(digests.source["entries"] == digests.destination["entries"])
  }

  private static func withoutSharedLinks(_ line: String) -> String {
    guard line.contains(" 0o12") || line.contains(" 0o10") && !line.contains(" 0o100") else { return line }
    return String(line.prefix(upTo: line.index(line.startIndex, offsetBy: line.distance(of: " first ") ?? line.count)))
  }

  @Test("what the rules leave out is neither moved nor proven nor retired", arguments: [true, false])
  func rules(_ throughChannel: Bool) throws {
    for name in ["keep/a", "keep/cache/b", "x.tmp", "odd\nname", "cache/c", "not/named"] {
      try backup.folder.write("a/state/\(name)", name)
    }
    // A name that is not text is known to restic's plain list only.
    _ = try Command(["python3", "-c", "import sys,os; os.close(os.open(os.fsencode(sys.argv[1]) + b'/keep/\\xff\\xfe', 65))", backup.from])
      .run()
    let include = try backup.folder.write("include", "# what is moved\nkeep\n\n odd*\ncache\n\(backup.from)/x.tmp\n")
    let exclude = try backup.folder.write("exclude", "*.tmp\ncache\n")
    let harness = try backup.harness(
      throughChannel ? "channel:\(backup.repository)" : nil, keys: ["include-file": .string(include), "exclude-file": .string(exclude)])
    #expect(try backup.errors(harness, .source) == [])
    let digests = try backup.move(harness) { try backup.folder.write("a/state/keep/new", "new") }
    #expect(digests.source == digests.destination)
    #expect(digests.source["entries"] == 5)
    #expect(Files.names(in: backup.to) == ["keep", "odd\nname"])
    #expect(try backup.folder.read("b/state/keep/new") == "new")
    for _ in 0..<2 {
      harness.kill(.source)
      try harness.call(.source, .retire)
      #expect(Files.names(in: backup.from) == ["cache", "keep", "not", "x.tmp"])
      #expect(Files.names(in: "\(backup.from)/keep") == ["cache"])
    }
  }

  @Test("an include-file that leads out of the folder is refused")
  func leadsOut() throws {
    try backup.folder.write("a/state/file", "")
    for line in ["/etc/passwd", "../other", "a/../../other"] {
      let include = try backup.folder.write("include", "\(line)\n")
      let harness = try backup.harness(keys: ["include-file": .string(include)])
      try harness.prepare()
      #expect(failure { try harness.pass() }?.class == .invalid)
    }
  }

  @Test("a run leaves one snapshot, tagged with the run, the item and what the manifest says")
  func tags() throws {
    try backup.folder.write("a/state/file", "one")
    let harness = try backup.harness(keys: ["tags": ["nightly"]])
    _ = try backup.move(harness) { try backup.folder.write("a/state/file", "two") }
    let snapshots = try backup.snapshots()
    #expect(snapshots.count == 1)
    let tags = snapshots.first?["tags"]?.array?.compactMap(\.string) ?? []
    #expect(Set(tags) == ["ferry", "run=run1", "item=state", "pass=1", "nightly"])
    #expect(try backup.restic("dump", "latest", "/state/file").output == "two")
  }

  @Test("a run that goes back leaves no snapshot and no target")
  func goesBack() throws {
    try backup.folder.write("a/state/file", "one")
    let harness = try backup.harness()
    _ = try harness.moveUntilVerified()
    harness.killBoth()
    for side in Side.allCases { for _ in 0..<2 { try harness.call(side, .discard) } }
    #expect(try backup.snapshots().isEmpty)
    #expect(Files.names(in: backup.folder("b")) == [])
  }

  @Test("of fifty snapshots stay those that `keep` names, and other items' snapshots")
  func retention() throws {
    try backup.folder.write("a/state/file", "0")
    #expect(try backup.restic("init").succeeded)
    // Fifty days, each with a snapshot at noon; as Ferry would have written them.
    for day in 0..<50 {
      try backup.folder.write("a/state/file", "\(day)")
      var command = Command(
        [
          "restic", "-r", backup.repository, "backup", "--no-cache", "--tag",
          "ferry,run=old\(day),item=\(day == 7 ? "other" : "state"),pass=0",
          "--time", "2026-0\(day < 25 ? 3 : 4)-\(day % 25 + 5 < 10 ? "0" : "")\(day % 25 + 5) 12:00:00", "./state",
        ],
        environment: ["RESTIC_PASSWORD": "a word that nobody knows"])
      command.directory = backup.folder("a")
      try #require(try command.run().succeeded)
    }
    #expect(try backup.snapshots().count == 50)
    _ = try backup.move(backup.harness(keys: ["keep": ["last": 3, "monthly": 2], "check": "structure"]))
    let left = try backup.snapshots()
    // The last three, of which one is this run's and the month's; the last of April; and the other item's.
    #expect(left.filter { $0["tags"]?.array?.contains("item=state") == true }.count == 3)
    #expect(left.filter { $0["tags"]?.array?.contains("item=other") == true }.count == 1)
    #expect(left.last?["tags"]?.array?.contains("run=run1") == true)
  }

  @Test("a wrong password is an error of `auth` in check, and nothing is changed")
  func wrongPassword() throws {
    try backup.folder.write("a/state/file", "")
    #expect(try backup.restic("init").succeeded)
    let harness = try backup.harness(secrets: ["password": "another word"])
    for side in Side.allCases {
      #expect(try backup.errors(harness, side).first?.contains("the password does not open the repository") == true)
    }
    try harness.call(.destination, .prepare)
    #expect(failure { try harness.prepare() }?.class == .auth)
    #expect(!harness.log.contains("another word"))
  }

  @Test("no password is in an argument, in the environment or in a log of restic's")
  func secrecy() throws {
    try backup.folder.write("a/state/file", "")
    // A restic that shows what it was started with, then does its work.
    try backup.folder.write(
      "programs/restic",
      "#!/bin/sh\n{ tr '\\0' '\\n' < /proc/$$/environ; echo \"$@\"; } >> \(backup.folder("seen"))\nPATH=${PATH#*:} exec restic \"$@\"\n",
      mode: 0o755)
    let harness = try backup.harness(programs: backup.folder("programs"))
    _ = try backup.move(harness)
    #expect(try backup.folder.read("seen").contains("RESTIC_PASSWORD_FILE=/dev/fd/3"))
    #expect(try !backup.folder.read("seen").contains("nobody knows"))
    #expect(!harness.log.contains("nobody knows"))
    #expect(throws: FerryError.self) { try backup.harness("rest:http://user:word@127.0.0.1:1/").call(.source, .check) }
  }

  @Test("a lock that a dead restic has left is removed and told of")
  func staleLock() throws {
    let holder = try LockHolder(backup)
    try holder.end()
    try #require(!holder.locks.isEmpty)
    let harness = try backup.harness()
    let digests = try backup.move(harness)
    #expect(digests.source == digests.destination)
    #expect(harness.log.contains("locked by a process that is gone"))
    #expect(holder.locks.isEmpty)
  }

  @Test("the lock of a restic at work is told of and stays; when that has ended, the same run comes to its end")
  func livingLock() throws {
    let holder = try LockHolder(backup)
    let harness = try backup.harness()
    try harness.prepare()
    let error = failure { try harness.pass() }
    #expect(error?.class == .conflict, "\(String(describing: error))")
    #expect(error?.message.contains("the repository is locked") == true && error?.message.contains("PID \(holder.pid)") == true)
    #expect(error?.hint.contains("restic unlock") == true)
    #expect(holder.locks.count == 1)
    try holder.end()
    let digests = try backup.move(harness)
    #expect(digests.source == digests.destination)
  }

  @Test(
    "`check` reads as much of the data as it says",
    arguments: [("structure", ""), ("all", " --read-data"), ("50%", " --read-data-subset=50%"), ("1/2", " --read-data-subset=1/2")])
  func subset(_ check: String, _ option: String) throws {
    try backup.folder.write("a/state/file", "content")
    let harness = try backup.harness(keys: ["check": .string(check)], programs: backup.watched())
    _ = try backup.move(harness)
    #expect(try backup.folder.read("seen").split(separator: "\n").contains { $0 == "--no-cache check\(option)" })
  }

  @Test("holes: restic is told to keep them from 0.15 on; before that they become zeros. Both are what the proof takes them for")
  func holes() throws {
    try backup.folder.write("a/state/holes", "content")
    try #require(truncate("\(backup.from)/holes", 8 << 20) == 0)
    for (version, keeps) in [("0.14.0", false), ("0.17.3", true)] {
      try Files.remove(backup.to)
      try Files.remove(backup.folder("seen"))
      // What a newer restic does with its option, a helper does here.
      let programs = try backup.watched(
        version: version, without: "--sparse",
        then:
          "find '\(backup.folder("b"))' -name holes -exec sh -c 't=$(stat -c %y $1); fallocate --dig-holes $1; touch -d \"$t\" $1' sh {} ';'"
      )
      let harness = try backup.harness(programs: programs)
      let digests = try backup.move(harness)
      #expect(digests.source == digests.destination)
      #expect(try backup.folder.read("seen").contains("--sparse") == keeps)
      var status = stat()
      #expect(stat("\(backup.to)/holes", &status) == 0 && status.st_size == 8 << 20)
      #expect((status.st_blocks * 512 < 1 << 20) == keeps, "\(status.st_blocks) blocks after \(version)")
      #expect(try Command(["cmp", "\(backup.from)/holes", "\(backup.to)/holes"]).run().succeeded)
    }
  }

  @Test("a damaged pack is found by check, does not replace what is there, and snapshots that do not need it still restore")
  func damage() throws {
    try backup.folder.write("a/state/file", String(repeating: "early ", count: 50_000))
    #expect(try backup.restic("init").succeeded)
    #expect(try backup.restic("backup", backup.from).succeeded)
    let early = try #require(backup.snapshots().last?["id"]?.string)
    let before = Set(backup.packs())
    // Noise: of what it knows already restic writes nothing.
    var command = Command(["head", "-c", "3000000", "/dev/urandom"])
    let file = try Descriptor.open(backup.folder("a/state/noise"), O_WRONLY | O_CREAT)
    command.output = .descriptor(file.number)
    _ = try command.run()
    try backup.folder.write("b/state/precious", "precious")
    let harness = try backup.harness(keys: ["check": "all", "replace": true])
    try harness.prepare()
    try harness.pass()
    let pack = try #require(backup.packs().filter { !before.contains($0) }.max { size($0) < size($1) })
    try Descriptor.open(pack, O_WRONLY).overwrite(at: 5000)
    let restored = failure { try harness.pass(final: true) }
    #expect(restored?.class == .io)
    #expect(restored?.message.contains("the repository is damaged") == true, "\(String(describing: restored))")
    #expect(try backup.folder.read("b/state/precious") == "precious")
    let checked = failure { try harness.call(.source, .release) }
    #expect(checked?.message.contains("the repository is damaged") == true, "\(String(describing: checked))")
    #expect(try backup.restic("restore", early, "--target", backup.folder("early")).succeeded)
    #expect(try backup.folder.read("early\(backup.from)/file").utf8.count == 300_000)
  }

  private func size(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }
}

extension Descriptor {
  fileprivate func overwrite(at offset: Int) throws {
    guard pwrite(number, "damage", 6, offset) == 6 else { throw FerryError(errno: errno, "cannot damage a file") }
  }
}

extension String {
  /// Where a text first occurs, in characters.
  fileprivate func distance(of text: String) -> Int? {
    var rest = self[...]
    while !rest.isEmpty {
      if rest.hasPrefix(text) { return distance(from: startIndex, to: rest.startIndex) }
      rest = rest.dropFirst()
    }
    return nil
  }
}
