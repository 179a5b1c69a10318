import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite struct RsyncTests {
  let folder: TemporaryFolder
  let from: String
  let to: String

  init() throws {
    folder = try TemporaryFolder()
    from = folder("a/state")
    to = folder("b/state")
    try Files.makeFolder(folder("a"))
    try Files.makeFolder(folder("b"))
  }

  func harness(_ keys: [String: JSONValue] = [:]) throws -> Harness {
    try Harness(product: "rsync", provider: "rsync", folder: folder, from: ["path": .string(from)], to: ["path": .string(to)], keys: keys)
  }

  func errors(_ harness: Harness, _ side: Side) throws -> [String] {
    try harness.call(side, .check)["notices"]?.array?.filter { $0["severity"] == "error" }.compactMap { $0["text"]?.string } ?? []
  }

  @Test("awkward things arrive as they are", arguments: ["channel", "daemon"])
  func awkward(_ transport: String) throws {
    // Without root the daemon changes absolute links, as check says.
    guard transport == "channel" || geteuid() == 0 else { return }
    try AwkwardTree.make(from)
    // Names that are not text are beyond the temporary folder's own removal.
    defer { _ = try? Command(["rm", "-rf", folder("a"), folder("b")]).run() }
    let harness = try harness(["transport": .string(transport)])
    #expect(try errors(harness, .source) == [])
    let digests = try harness.moveUntilVerified()
    try harness.call(.destination, .activate)
    let (left, right) = (try Oracle.describe(from), try Oracle.describe(to))
    #expect(left.filter { !right.contains($0) } == [])
    #expect(left == right)
    #expect(digests.source == digests.destination)
    #expect(digests.source["entries"]?.int == Int64(left.count - 1))
    var status = stat()
    stat("\(to)/sparsehole", &status)
    #expect(status.st_blocks == 0)
  }

  @Test(
    "with users at both ends owners are those that their containers see, by either transport; what no container of theirs could own ends the run",
    .enabled(if: geteuid() == 0, "only root can give files away"), arguments: ["channel", "daemon"])
  func owners(_ transport: String) throws {
    try folder.write("a/state/folder/file", "of the user")
    try #require(Command(["chown", "-R", "daemon:daemon", from]).run().succeeded)
    func harness() throws -> Harness {
      try Harness(
        product: "rsync", provider: "rsync", folder: TemporaryFolder(), from: ["path": .string(from), "user": "daemon"],
        to: ["path": .string(to), "user": "games"], keys: ["transport": .string(transport), "replace": true])
    }
    let first = try harness()
    for side in Side.allCases { #expect(try errors(first, side) == []) }
    let digests = try first.moveUntilVerified { try #require(chmod("\(from)/folder/file", 0o640) == 0) }
    #expect(digests.source == digests.destination)
    try first.call(.destination, .activate)
    let account = try Account("games")
    for path in ["", "/folder", "/folder/file"] {
      var status = stat()
      #expect(stat(to + path, &status) == 0 && status.st_uid == account.user && status.st_gid == account.group, "\(path)")
    }
    try first.call(.destination, .release)
    try folder.write("a/state/of-root", "")
    let second = try harness()
    let error = failure { _ = try second.moveUntilVerified() }
    #expect(error?.message.contains("of-root") == true, "\(String(describing: error))")
  }

  @Test("what the filters leave out is neither moved nor proven nor retired", arguments: [true, false])
  func filters(_ useFile: Bool) throws {
    for name in ["keep/a", "keep/cache/b", "x.tmp", "important.tmp", "odd\nname\\#101\u{fc}", "cache/c"] {
      try folder.write("a/state/\(name)", name)
    }
    try folder.write("rules", "+ important.tmp\n- *.tmp\n- cache/\n")
    let harness = try harness(
      useFile ? ["filter-file": .string(folder("rules"))] : ["include": ["important.tmp"], "exclude": ["*.tmp", "cache/"]])
    #expect(try harness.call(.source, .check)["entries"] == 4)
    let digests = try harness.moveUntilVerified {
      try folder.write("a/state/keep/cache/new", "")
      try folder.write("a/state/keep/new", "new")
    }
    #expect(digests.source == digests.destination)
    try harness.call(.destination, .activate)
    #expect(Files.names(in: to) == ["important.tmp", "keep", "odd\nname\\#101\u{fc}"])
    #expect(Files.names(in: "\(to)/keep") == ["a", "new"])
    for _ in 0..<2 {
      harness.kill(.source)
      try harness.call(.source, .retire)
      #expect(Files.names(in: from) == ["cache", "keep", "x.tmp"])
      #expect(Files.names(in: "\(from)/keep") == ["cache"])
    }
  }

  @Test("what is kept is each end's own: never sent, whatever the rules say, and it stays with the target's name, there and back")
  func kept() throws {
    for name in ["own", "shared", "cache/x", "a.tmp"] { try folder.write("a/state/\(name)", "source") }
    // Another item of the run fills a file in here.
    for name in ["own", "old", ".env.ferry-run1/tree"] { try folder.write("b/state/\(name)", "target") }
    let harness = try harness(["keep": ["own"], "filter": ["+ /own", "- /cache/", "- *.tmp"], "replace": true])
    #expect(try errors(harness, .destination) == [])
    let digests = try harness.moveUntilVerified()
    #expect(digests.source == digests.destination)
    for _ in 0..<2 {
      try harness.call(.destination, .activate)
      #expect(Files.names(in: to) == [".env.ferry-run1", "own", "shared"])
      #expect(try folder.read("b/state/own") == "target")
      #expect(try harness.digest(.destination, full: true, target: "active") == digests.source)
      for _ in 0..<2 {
        harness.kill(.destination)
        try harness.call(.destination, .deactivate)
        #expect(Files.names(in: to) == [".env.ferry-run1", "old", "own"])
        #expect(try folder.read("b/state/own") == "target")
      }
    }
    for call in [ProviderCall.activate, .activate, .release] { try harness.call(.destination, call) }
    #expect(Files.names(in: to) == [".env.ferry-run1", "own", "shared"])
    #expect(Files.names(in: folder("b")) == ["state"])
    try harness.call(.source, .retire)
    #expect(Files.names(in: from) == ["a.tmp", "cache", "own"])
  }

  @Test("the final pass deletes what is no more; the passes before it do not")
  func deletes() throws {
    try folder.write("a/state/stays", "")
    try folder.write("a/state/goes/deep", "")
    let harness = try harness()
    try harness.prepare()
    try harness.pass()
    _ = try Command(["rm", "-r", "\(from)/goes"]).run()
    try harness.pass()
    #expect(Files.exists("\(staged)/goes/deep"))
    try harness.pass(final: true)
    #expect(Files.names(in: staged) == ["stays"])
  }

  private var staged: String { folder("b/.state.ferry-run1/tree") }

  @Test("a file that becomes a folder, and a folder that becomes a file, come out right in any pass", arguments: [true, false])
  func kinds(_ final: Bool) throws {
    try folder.write("a/state/one", "")
    try folder.write("a/state/two/deep/file", "")
    let harness = try harness()
    try harness.prepare()
    try harness.pass()
    _ = try Command(["rm", "-r", "\(from)/one", "\(from)/two"]).run()
    try folder.write("a/state/one/inside", "")
    try folder.write("a/state/two", "now a file")
    try harness.pass(final: final)
    #expect(try harness.digest(.source) == harness.digest(.destination))
  }

  @Test("a file that changes twice within a second, size unchanged, is sent twice")
  func sameSecond() throws {
    try folder.write("a/state/file", "one")
    let harness = try harness()
    try harness.prepare()
    for (number, text) in ["two", "six", "ten"].enumerated() {
      try folder.write("a/state/file", text)
      utimensat(AT_FDCWD, "\(from)/file", Array(repeating: timespec(tv_sec: 1_700_000_000, tv_nsec: number), count: 2), 0)
      try harness.pass()
      #expect(try Files.read("\(staged)/file") == Array(text.utf8))
    }
  }

  @Test("a write through an old memory map is carried and proven")
  func mapped() throws {
    try folder.write("a/state/file", String(repeating: "x", count: 8192))
    let file = try Descriptor.open("\(from)/file", O_RDWR)
    guard let memory = mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0), memory != MAP_FAILED else { return }
    defer { munmap(memory, 8192) }
    let bytes = memory.assumingMemoryBound(to: UInt8.self)
    let harness = try harness()
    try harness.prepare()
    for value in UInt8(1)...3 {
      bytes[4096] = value
      try harness.pass()
      _ = try harness.digest(.source)
    }
    bytes[4096] = 99
    try harness.pass(final: true)
    #expect(try harness.digest(.source) == harness.digest(.destination))
    #expect(try Files.read("\(staged)/file")[4096] == 99)
  }

  @Test("an empty source is an error unless the manifest allows it")
  func empty() throws {
    try Files.makeFolder(from)
    let strict = try harness()
    #expect(try errors(strict, .source).first?.contains("is empty") == true)
    try strict.call(.destination, .prepare)
    #expect(failure { try strict.prepare() }?.class == .precondition)
    try strict.call(.destination, .discard)
    let lenient = try harness(["allow-empty": true])
    #expect(try errors(lenient, .source) == [])
    let digests = try lenient.moveUntilVerified()
    #expect(digests.source == digests.destination)
    #expect(digests.source["entries"] == 0)
  }

  @Test("what stands at the target is refused in check, unless it is empty or may be replaced")
  func targets() throws {
    try folder.write("a/state/file", "")
    #expect(try errors(harness(), .destination) == [])
    try Files.makeFolder(to)
    #expect(try errors(harness(), .destination) == [])
    try folder.write("b/state/precious", "")
    #expect(try errors(harness(), .destination).first?.contains("not empty") == true)
    #expect(try errors(harness(["replace": true]), .destination) == [])
    try Files.remove(to)
    symlink(folder("a"), to)
    #expect(try errors(harness(), .destination).first?.contains("not a folder") == true)
    unlink(to)
    try Files.remove(folder("b"))
    #expect(try errors(harness(), .destination).first?.contains("is not there") == true)
  }

  @Test("a target inside its own source is refused before anything is copied")
  func inside() throws {
    try folder.write("a/state/file", "")
    try Files.makeFolder("\(from)/sub")
    let harness = try Harness(
      product: "rsync", provider: "rsync", folder: folder, from: ["path": .string(from)], to: ["path": .string("\(from)/sub/copy")])
    #expect(failure { try harness.prepare() }?.message.contains("one is in the other") == true)
  }

  @Test("check says which filter file cannot be read, which rsync is used, and how much there is")
  func checks() throws {
    try folder.write("a/state/file", "12345")
    let report = try harness().call(.source, .check)
    #expect(report["bytes"] == 5)
    #expect(report["entries"] == 1)
    #expect(report["versions"]?["rsync"]?.string?.first?.isNumber == true)
    #expect(try errors(harness(["filter-file": "/nowhere/rules"]), .source).first?.contains("/nowhere/rules") == true)
    #expect(try harness().call(.destination, .check)["room"]?.int ?? 0 > 0)
  }

  @Test("check names a file that this user cannot read")
  func unreadable() throws {
    try folder.write("a/state/shut", "", mode: 0o000)
    #expect(try errors(harness(), .source).contains { $0.contains("shut") } == (geteuid() != 0))
  }

  @Test("a rule that rsync does not understand is the manifest's error, with its file and line")
  func badRule() throws {
    try folder.write("a/state/file", "")
    try folder.write("rules", "nonsense rule\n")
    let harness = try harness(["filter-file": .string(folder("rules"))])
    let error = failure { try harness.call(.source, .check) }
    #expect(error?.class == .invalid)
    #expect(error?.message.contains("rules line 1") == true, "\(String(describing: error))")
  }

  @Test("a full disk at the destination is named with its file, and leaves the source as it was")
  func fullDisk() throws {
    guard geteuid() == 0, try Command(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder("b")]).run().succeeded else { return }
    defer { _ = try? Command(["umount", "-l", folder("b")]).run() }
    try folder.write("a/state/large", String(repeating: "x", count: 4 << 20))
    let harness = try harness()
    try harness.prepare()
    let error = failure { try harness.pass(final: true) }
    #expect(error?.class == .io)
    #expect(error?.message.contains("No space left on device") == true, "\(String(describing: error))")
    harness.killBoth()
    try harness.call(.destination, .discard)
    #expect(Files.names(in: folder("b")) == [])
  }

  @Test("no secret is in an offer, in a command line or in a log, and the daemon is gone after its pass")
  func daemon() throws {
    try folder.write("a/state/large", String(repeating: "x", count: 1 << 20))
    let harness = try harness(["transport": "daemon"])
    try harness.prepare()
    let moved = try harness.pass(final: true)
    #expect(moved.sent["bytes"] == moved.received["bytes"])
    #expect(Files.names(in: folder("host-destination/tmp")).allSatisfy { !$0.hasPrefix("rsyncd") })
    #expect(!harness.log.lowercased().contains("password"))
    let mine = try Command(["pgrep", "-f", folder.path]).run().output
    #expect(!mine.contains("rsync"))
  }
}
