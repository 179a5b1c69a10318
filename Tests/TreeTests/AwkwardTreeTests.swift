import FerrySystem
import Glibc
import TestSupport
import Testing

/// The fixture and the comparer that other tests lean on: what they miss, nobody finds.
@Suite struct AwkwardTreeTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test("root leaves nothing out but what the file system cannot hold, and says so")
  func complete() throws {
    let tree = try AwkwardTree(at: folder("tree"), crowd: 50)
    try tree.rework()
    for left in tree.leftOut { print("left out: \(left)") }
    if geteuid() == 0 { #expect(tree.leftOut.allSatisfy { $0.contains("attribute") || $0.contains("too long") || $0.contains("time") }) }
  }

  @Test("cp's copy differs from its tree in nothing but what cp leaves behind")
  func copied() throws {
    let tree = try AwkwardTree(at: folder("tree"), AwkwardTree.Part.allCases.filter { $0 != .flags && $0 != .depth }, crowd: 50)
    _ = try Command(["cp", "-a", tree.root, folder("copy")]).run()
    #expect(try TreeComparison.differences(tree.root, folder("copy")) == [])
    #expect(try TreeComparison.differences(tree.root, tree.root) == [])
  }

  static let changes: [(what: String, change: @Sendable (BareFolder) -> Bool)] = [
    ("content", { (try? $0.open(Array("file".utf8), O_WRONLY).write([0])) != nil && $0.setTime(Array("file".utf8), 5) }),
    ("size", { (try? $0.open(Array("file".utf8), O_WRONLY | O_APPEND).write([0])) != nil && $0.setTime(Array("file".utf8), 5) }),
    ("mode", { $0.call("file") { fchmodat($0, $1, 0o4600, 0) } }),
    ("owner", { $0.call("soft") { fchownat($0, $1, 1, 0xffff_ffff, AT_SYMLINK_NOFOLLOW) } }),
    ("group", { $0.call("folder") { fchownat($0, $1, 0xffff_ffff, 1, AT_SYMLINK_NOFOLLOW) } }),
    ("time", { $0.setTime(Array("soft".utf8), 5, 1) }),
    ("kind", { $0.call("fifo") { unlinkat($0, $1, 0) == 0 ? symlinkat("x", $0, $1) : -1 } && $0.setTime(Array("fifo".utf8), 5) }),
    ("attribute", { $0.setAttribute(Array("file".utf8), "user.x", [2]) }),
    ("only in the first", { $0.call("fifo") { unlinkat($0, $1, 0) } }),
    ("only in the second", { $0.call("new") { mkdirat($0, $1, 0o700) } }),
    ("shares a file", { $0.call("twice") { unlinkat($0, $1, 0) } && (try? $0.file("twice", "text", mode: 0o644)) != nil }),
    ("became", { (try? $0.open(Array("hole".utf8), O_WRONLY).write(Array(repeating: 0, count: 1 << 20))) != nil }),
  ]

  @Test(
    "the comparer names each difference",
    arguments: changes.indices.filter { geteuid() == 0 || !["owner", "group"].contains(changes[$0].what) })
  func named(_ index: Int) throws {
    for name in ["one", "two"] {
      try Files.makeFolder(folder(name))
      let tree = try BareFolder(folder(name))
      try tree.file("file", "text")
      #expect(tree.setAttribute(Array("file".utf8), "user.x", [1]))
      #expect(tree.call("twice") { mkfifoat($0, "fifo", 0o600) == 0 ? linkat($0, "file", $0, $1, 0) : -1 })
      #expect(tree.call("soft") { symlinkat("target", $0, $1) })
      try tree.folder("folder")
      let hole = try tree.file("hole")
      #expect(ftruncate(hole.number, 1 << 20) == 0)
      for name in ["file", "twice", "soft", "folder", "fifo", "hole", "."] { tree.setTime(Array(name.utf8), 5) }
    }
    #expect(try TreeComparison.differences(folder("one"), folder("two")) == [])
    let two = try BareFolder(folder("two"))
    #expect(Self.changes[index].change(two))
    for name in ["hole", "."] { two.setTime(Array(name.utf8), 5) }
    if Self.changes[index].what == "shares a file" { for name in ["file", "twice"] { two.setTime(Array(name.utf8), 5) } }
    let found = try TreeComparison.differences(folder("one"), folder("two"))
    #expect(!found.isEmpty)
    #expect(found.contains { $0.contains(Self.changes[index].what) }, "\(found)")
  }
}
