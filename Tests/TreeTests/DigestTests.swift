import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

@Suite struct DigestTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A small tree of many kinds.
  func tree(_ name: String) throws -> String {
    let root = folder(name)
    try folder.write("\(name)/a", "content")
    try folder.write("\(name)/a-b", "")
    try folder.write("\(name)/d/inner/file", "deep")
    try Files.makeFolder("\(root)/a.d")
    try folder.write("\(name)/a.d/x", "x")
    symlink("nowhere", "\(root)/dangling")
    mkfifo("\(root)/fifo", 0o600)
    link("\(root)/a", "\(root)/d/again")
    for path in ["", "/d", "/d/inner", "/d/inner/file", "/a", "/a-b", "/a.d", "/a.d/x", "/dangling", "/fifo"] {
      let times = [timespec(tv_sec: 1_000_000_000, tv_nsec: 5), timespec(tv_sec: -3, tv_nsec: 123_456_789)]
      utimensat(AT_FDCWD, root + path, times, AT_SYMLINK_NOFOLLOW)
    }
    return root
  }

  @Test("equal trees have equal digests, whatever the order they were made in")
  func equal() throws {
    let (one, two) = (try tree("one"), try tree("two"))
    for algorithm in [HashAlgorithm.xxh3, .sha256] {
      var options = TreeDigest.Options()
      options.algorithm = algorithm
      let first = try TreeDigest.compute(root: one, options)
      #expect(try first == TreeDigest.compute(root: two, options))
      #expect(first.entries == 10)
      #expect(first.bytes == 12)
      #expect(first.root.count == (algorithm == .xxh3 ? 32 : 64))
    }
  }

  static let changes: [(String, @Sendable (String) -> Void)] = [
    ("content", { root in try? Descriptor.open("\(root)/a", O_WRONLY).write([0x43]) }),
    ("mode", { root in chmod("\(root)/a", 0o4755) }),
    (
      "time in nanoseconds",
      { root in
        utimensat(AT_FDCWD, "\(root)/a", [timespec(), timespec(tv_sec: -3, tv_nsec: 123_456_788)], AT_SYMLINK_NOFOLLOW)
      }
    ),
    ("time of a folder", { root in utimensat(AT_FDCWD, "\(root)/d", [timespec(), timespec()], 0) }),
    ("time of a link", { root in utimensat(AT_FDCWD, "\(root)/dangling", [timespec(), timespec()], AT_SYMLINK_NOFOLLOW) }),
    ("name", { root in rename("\(root)/a-b", "\(root)/a-c") }),
    (
      "a hard link made a copy",
      { root in
        unlink("\(root)/d/again")
        try? Descriptor.open("\(root)/d/again", O_WRONLY | O_CREAT).write(Array("content".utf8))
      }
    ),
    (
      "target of a link",
      { root in
        unlink("\(root)/dangling")
        symlink("elsewhere", "\(root)/dangling")
      }
    ),
    (
      "kind",
      { root in
        unlink("\(root)/a-b")
        mkdir("\(root)/a-b", 0o700)
      }
    ),
    ("attribute", { root in _ = try? Command(["setfattr", "-n", "user.x", "-v", "y", "\(root)/a"]).run() }),
    ("ACL", { root in _ = try? Command(["setfacl", "-m", "u:1234:r", "\(root)/a"]).run() }),
    ("attribute of the root", { root in _ = try? Command(["setfattr", "-n", "user.x", "-v", "y", root]).run() }),
    ("mode of the root", { root in chmod(root, 0o711) }),
  ]

  @Test("every change shows", arguments: changes.indices)
  func changed(_ index: Int) throws {
    let root = try tree("tree")
    let before = try TreeDigest.compute(root: root)
    Self.changes[index].1(root)
    #expect(try TreeDigest.compute(root: root).root != before.root, "\(Self.changes[index].0)")
  }

  @Test("owners count in the full form, and do not in one without owners")
  func owners() throws {
    guard geteuid() == 0 else { return }
    let root = try tree("tree")
    var without = TreeDigest.Options()
    without.form.owners = false
    let before = (try TreeDigest.compute(root: root), try TreeDigest.compute(root: root, without))
    lchown("\(root)/dangling", 70000, 70000)
    #expect(try TreeDigest.compute(root: root).root != before.0.root)
    #expect(try TreeDigest.compute(root: root, without).root == before.1.root)
  }

  @Test("a listing is sorted by path, escapes what is not plain text, and names exactly what differs")
  func listing() throws {
    let root = try tree("tree")
    try folder.write("tree/tab\tnew\nline\\", "x")
    var options = TreeDigest.Options()
    options.listing = folder("listing")
    _ = try TreeDigest.compute(root: root, options)
    let before = try folder.read("listing").split(separator: "\n")
    let paths = before.compactMap { $0.split(separator: "\t").last.map(String.init) }
    #expect(
      paths == [
        ".", "a", "a-b", "a.d", "a.d/x", "d", "d/again", "d/inner", "d/inner/file", "dangling", "fifo", "tab\\x09new\\x0aline\\x5c",
      ])
    chmod("\(root)/d/inner/file", 0o600)
    _ = try TreeDigest.compute(root: root, options)
    let after = try folder.read("listing").split(separator: "\n")
    #expect(zip(before, after).filter { $0 != $1 }.map { $1.split(separator: "\t")[1] } == ["d/inner/file"])
  }

  @Test("a selection is digested as if nothing else were there")
  func selection() throws {
    let (one, two) = (try tree("one"), try tree("two"))
    _ = try Command(["rm", "-rf", "\(two)/a.d", "\(two)/d/inner/file"]).run()
    for path in ["", "/d/inner"] { _ = try Command(["touch", "-d", "@-3.123456789", two + path]).run() }
    for path in ["", "/d/inner"] { _ = try Command(["touch", "-r", two + path, one + path]).run() }
    var options = TreeDigest.Options()
    options.selection = TreeSelection(["a", "a-b", "d", "d/again", "d/inner", "dangling", "fifo"].map { Array($0.utf8) })
    #expect(try TreeDigest.compute(root: one, options).root == TreeDigest.compute(root: two).root)
  }

  @Test("names of any bytes, and a tree deeper than descriptors and paths reach")
  func deep() throws {
    let root = folder("deep")
    let script = """
      import os,sys
      os.mkdir(sys.argv[1]); os.chdir(sys.argv[1])
      open(b'\\xff\\n','w').close()
      for i in range(1500):
          os.mkdir('folder'); os.chdir('folder')
      open('bottom','w').write('here')
      """
    #expect(try Command(["python3", "-c", script, root]).run().succeeded)
    var options = TreeDigest.Options()
    options.listing = folder("listing")
    let digest = try TreeDigest.compute(root: root, options)
    #expect(digest.entries == 1502)
    #expect(digest.bytes == 4)
    #expect(try folder.read("listing").contains("\t\\xff\\x0a\n"))
    try TreeRemoval.remove(root)
    #expect(!Files.exists(root))
  }
}
