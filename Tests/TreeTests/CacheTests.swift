import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

@Suite struct CacheTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  /// Bytes that a digest reads, as its progress says.
  func digest(_ root: String, trusting: Bool = true) throws -> (root: String, read: Int64) {
    let read = Lock<Int64>(0)
    var options = TreeDigest.Options()
    options.cache = DigestCache(path: folder("cache"), algorithm: .xxh3, form: options.form)
    options.trustsCache = trusting
    options.progress = { bytes, _ in read.withLock { $0 = max($0, bytes) } }
    let result = try TreeDigest.compute(root: root, options)
    return (result.root, read.withLock { $0 })
  }

  @Test("a second pass reads only what changed, a full one reads all, and all agree")
  func second() throws {
    let root = folder("tree")
    try folder.write("tree/large/file", String(repeating: "x", count: 100_000))
    try folder.write("tree/z/small", "abc")
    // The change time has to be older than the flush before the walk.
    let now = FileTime.now
    try waitFor("the file system's clock") { now < FileTime.now }
    let first = try digest(root)
    #expect(first.read >= 100_000)
    let second = try digest(root)
    #expect(second.read == 0)
    #expect(second.root == first.root)
    try folder.write("tree/z/small", "abd")
    let third = try digest(root)
    #expect(third.read < 100)
    #expect(third.root != first.root)
    let full = try digest(root, trusting: false)
    #expect(full.read >= 100_000)
    #expect(full.root == third.root)
  }

  @Test("what changed as it was read is read again, even if size and times are put back")
  func backdated() throws {
    let root = folder("tree")
    try folder.write("tree/file", "one")
    _ = try Command(["touch", "-d", "@5", "\(root)/file", root]).run()
    let first = try digest(root)
    try folder.write("tree/file", "two")
    _ = try Command(["touch", "-d", "@5", "\(root)/file", root]).run()
    #expect(try digest(root).root != first.root)
  }

  @Test("a damaged cache is forgotten, not believed")
  func damaged() throws {
    let root = folder("tree")
    try folder.write("tree/file", String(repeating: "x", count: 5000))
    let now = FileTime.now
    try waitFor("the file system's clock") { now < FileTime.now }
    let first = try digest(root)
    var bytes = try Files.read(folder("cache"))
    bytes[bytes.count / 2] ^= 1
    try Files.replace(folder("cache"), with: bytes)
    let second = try digest(root)
    #expect(second.root == first.root)
    #expect(second.read >= 5000)
  }
}

@Suite struct RemovalTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test("only the selected goes, and folders only if nothing is left in them")
  func selected() throws {
    let root = folder("tree")
    for name in ["keep", "a/b/gone", "a/b/also", "c/gone"] { try folder.write("tree/\(name)", "") }
    let selection = TreeSelection(["a", "a/b", "a/b/gone", "c", "c/gone"].map { Array($0.utf8) })
    for _ in 0..<2 {
      try TreeRemoval.remove(root, selection: selection, keepingRoot: false)
      #expect(Files.names(in: root) == ["a", "keep"])
      #expect(Files.names(in: "\(root)/a/b") == ["also"])
    }
  }

  @Test("links are removed, never followed")
  func links() throws {
    try folder.write("outside/file", "")
    try Files.makeFolder(folder("tree"))
    symlink(folder("outside"), folder("tree/link"))
    try TreeRemoval.remove(folder("tree"))
    #expect(!Files.exists(folder("tree")))
    #expect(Files.exists(folder("outside/file")))
  }
}
