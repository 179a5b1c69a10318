import FerryArchive
import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

@Suite struct ArchiveTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  private func pack(_ root: String, _ options: TreeOptions = TreeOptions(form: .own)) throws -> (path: String, report: ArchiveReport) {
    let path = folder("archive-\(UInt64.random(in: 0 ... .max)).tar")
    let file = try Descriptor.open(path, O_WRONLY | O_CREAT)
    let report = try TreeArchive.pack(TreeFolder(root: root), to: file.number, options: options)
    return (path, report)
  }

  private func differs(_ found: [String], _ location: SourceLocation = #_sourceLocation) {
    #expect(found == [], sourceLocation: location)
  }

  @discardableResult private func unpack(
    _ archive: String, _ name: String, _ options: TreeOptions = TreeOptions(form: .own), whiteouts: Bool = false
  ) throws -> ArchiveReport {
    if !Files.exists(folder(name)) { try Files.makeFolder(folder(name)) }
    let file = try Descriptor.open(archive, O_RDONLY)
    return try TreeArchive.unpack(from: file.number, into: TreeFolder(root: folder(name)), options: options, whiteouts: whiteouts)
  }

  @Test("every awkward thing comes out as it went in, but sockets, which no archive holds and the report names")
  func roundTrip() throws {
    let tree = try AwkwardTree(at: folder("tree"), crowd: 300)
    // The last second before 1970 is the one time that libarchive has no sign for.
    _ = try BareFolder(folder("tree/times")).setTime(Array("-1.999999999".utf8), -5, 5)
    for suffix in [".d", ".l", ".f"] { _ = try BareFolder(folder("tree/times")).setTime(Array("-1.999999999\(suffix)".utf8), -7, 7) }
    let packed = try pack(tree.root)
    #expect(packed.report.notices.contains("special/socket: an archive holds no sockets"))
    #expect(packed.report.notices.allSatisfy { $0.contains("socket") || $0.contains("user.Ünicode") })
    let report = try unpack(packed.path, "copy")
    #expect(report.entries == packed.report.entries)
    differs(try TreeComparison.differences(tree.root, folder("copy"), ignoring: [.sockets, .flags]))
    // Sparse files are not written out.
    var status = stat()
    #expect(stat(packed.path, &status) == 0 && status.st_size < 100 << 20)
  }

  @Test("over what is there: kinds change, hard links are made anew, what the archive does not name stays")
  func over() throws {
    let tree = try AwkwardTree(at: folder("tree"), [.edits, .hardLinks])
    try unpack(pack(tree.root).path, "copy")
    try folder.write("copy/edits/own", "stays")
    try tree.rework()
    try unpack(pack(tree.root).path, "copy")
    let found = try TreeComparison.differences(tree.root, folder("copy"))
    // An archive without whiteouts removes nothing.
    #expect(found.contains("edits/own: only in the second"))
    #expect(found.allSatisfy { $0.hasSuffix("only in the second") || $0.contains("linked again") }, "\(found)")
  }

  @Test("GNU tar reads what is written here, and what it writes is read", .enabled(if: geteuid() == 0, "owners are root's"))
  func tar() throws {
    let tree = try AwkwardTree(at: folder("tree"), [.modes, .owners, .links, .hardLinks, .sizes, .accessLists, .attributes, .sparse])
    // GNU tar knows no hard links to a fifo, and no empty attributes; what is not plain in an attribute's name only Ferry reads back.
    #expect(unlink(folder("tree/hardLinks/two/inner/fifo again")) == 0)
    for (name, attribute) in [("file", "user.empty"), ("folder", "user.empty"), ("file", "user.Ünicode"), ("folder", "user.Ünicode")] {
      _ = try BareFolder(folder("tree/attributes")).removeAttribute(Array(name.utf8), attribute)
    }
    try Files.makeFolder(folder("out"))
    let options = ["--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"]
    let packed = try pack(tree.root).path
    let read = try Command(["tar", "-xpf", packed, "-C", folder("out")] + options).run()
    #expect(read.succeeded)
    // It turns the ACLs that came as attributes down, and says so.
    differs(try TreeComparison.differences(tree.root, folder("out"), ignoring: [.accessLists, .flags]))
    let written = try Command(["tar", "-cf", folder("gnu.tar"), "--format=posix", "--sparse", "-C", tree.root] + options + ["."]).run()
    #expect(written.succeeded)
    try unpack(folder("gnu.tar"), "copy")
    differs(try TreeComparison.differences(tree.root, folder("copy")))
  }

  @Test("an archive that ends early is an error, wherever it ends")
  func truncated() throws {
    try folder.write("tree/a", String(repeating: "x", count: 1000))
    try folder.write("tree/b", String(repeating: "\0", count: 2000))
    let bytes = try Files.read(pack(folder("tree")).path)
    for end in stride(from: 0, to: bytes.count - 1023, by: 256) {
      try Files.replace(folder("part.tar"), with: Array(bytes[..<end]))
      #expect(throws: FerryError.self, "\(end)") { try unpack(folder("part.tar"), "copy-\(end)") }
    }
    try Files.replace(folder("whole.tar"), with: bytes)
    try unpack(folder("whole.tar"), "copy")
  }

  static let hostile: [(what: String, entries: String)] = [
    ("absolute", "add('/escaped')"), ("upwards", "add('../escaped')"), ("upwards inside", "add('a/../../escaped')"),
    ("through a link", "add('out', SYMTYPE, link='OUTSIDE'); add('out/escaped')"),
    ("through a link upwards", "add('out', SYMTYPE, link='..'); add('out/escaped')"),
    ("through a link below", "add('d', DIRTYPE); add('d/out', SYMTYPE, link='../..'); add('d/out/escaped')"),
    ("a folder through a link", "add('out', SYMTYPE, link='OUTSIDE'); add('out/escaped', DIRTYPE)"),
    ("a hard link outwards", "add('h', LNKTYPE, link='OUTSIDE/secret')"),
    ("a hard link upwards", "add('h', LNKTYPE, link='../outside/secret')"),
    ("a hard link through a link", "add('out', SYMTYPE, link='OUTSIDE'); add('h', LNKTYPE, link='out/secret')"),
    ("a hard link to a link, then through it", "add('out', SYMTYPE, link='OUTSIDE'); add('h', LNKTYPE, link='out'); add('h/escaped')"),
    ("a hard link to nothing", "add('h', LNKTYPE, link='nothing')"),
    ("a whiteout upwards", "add('.wh...')"), ("a whiteout of nothing", "add('.wh.')"),
    ("a whiteout through a link", "add('out', SYMTYPE, link='OUTSIDE'); add('out/.wh.secret')"),
    ("an opaque folder through a link", "add('out', SYMTYPE, link='OUTSIDE'); add('out/.wh..wh..opq')"),
    ("a name too long", "add('n' * 300)"), ("the root as a file", "add('.')"), ("the root as a link", "add('./', SYMTYPE, link='OUTSIDE')"),
    ("owner -1", "add('o', uid=0xffffffff)"), ("an owner of 64 bits", "add('o', uid=1 << 40)"),
    ("a device", "add('dev', CHRTYPE)"), ("a block device", "add('dev', BLKTYPE)"), ("too long a file", "add('f', size=1 << 40)"),
    ("too many entries", "[add('e%d' % i) for i in range(2000)]"), ("too long in all", "[add('f%d' % i, size=1 << 20) for i in range(20)]"),
    ("too deep", "add('d/' * 3000 + 'x')"),
  ]

  @Test("a hostile archive is refused, and nothing is written elsewhere", arguments: hostile.indices)
  func refused(_ index: Int) throws {
    try folder.write("outside/secret", "secret")
    try Files.makeFolder(folder("in/copy"))
    let script = """
      import sys
      from tarfile import TarFile, TarInfo, PAX_FORMAT, REGTYPE, SYMTYPE, LNKTYPE, DIRTYPE, CHRTYPE, BLKTYPE
      tar = TarFile.open(sys.argv[1], 'w', format=PAX_FORMAT)
      def add(name, type=REGTYPE, link='', uid=0, size=0):
          entry = TarInfo(name)
          entry.type, entry.linkname, entry.uid, entry.size = type, link.replace('OUTSIDE', sys.argv[2]), uid, size
          entry.mtime = 5
          tar.addfile(entry)
          # As much content as it says, unless that is absurd.
          if 0 < size < 1 << 30: tar.fileobj.write(bytes(size)); tar.offset += size
      \(Self.hostile[index].entries)
      tar.close()
      """
    #expect(try Command(["python3", "-c", script, folder("hostile.tar"), folder("outside")]).run().succeeded)
    let before = try TreeSnapshot(folder("outside"))
    var options = TreeOptions(form: TreeForm(owners: geteuid() == 0, devices: false, attributes: .user))
    (options.limits.entries, options.limits.bytes, options.limits.fileSize, options.limits.path) = (1000, 10 << 20, 1 << 30, 4096)
    let file = try Descriptor.open(folder("hostile.tar"), O_RDONLY)
    let error = #expect(throws: FerryError.self) {
      try TreeArchive.unpack(from: file.number, into: TreeFolder(root: folder("in/copy")), options: options, whiteouts: true)
    }
    #expect(error?.class == .invalid, "\(Self.hostile[index].what): \(String(describing: error))")
    #expect(try TreeSnapshot(folder("outside")).changed(since: before) == [])
    #expect(Files.names(in: folder("in")) == ["copy"])
    #expect(!Files.exists("/escaped"))
  }

  @Test("whiteouts remove what was there before, never what the archive brought; without them they are names")
  func whiteouts() throws {
    for name in ["gone", "kept", "opaque/old", "opaque/deep/old", "folder/inner", "again/old"] { try folder.write("copy/\(name)", "old") }
    for name in ["opaque/new", "again/new"] { try folder.write("tree/\(name)", "new") }
    let file = try Descriptor.open(folder("layer.tar"), O_WRONLY | O_CREAT)
    let (tree, writer) = (try TreeFolder(root: folder("tree")), try ArchiveWriter(file.number, options: TreeOptions(form: .own)))
    try writer.add(tree)
    try writer.addWhiteout(Array("gone".utf8))
    try writer.addWhiteout(Array("folder/inner".utf8))
    try writer.addWhiteout(Array("again".utf8))
    try writer.addOpaque(Array("opaque".utf8))
    try writer.finish()
    try unpack(folder("layer.tar"), "plain")
    #expect(Files.exists(folder("plain/.wh.gone")))
    try unpack(folder("layer.tar"), "copy", whiteouts: true)
    #expect(Files.names(in: folder("copy")) == ["again", "folder", "kept", "opaque"])
    #expect(Files.names(in: folder("copy/opaque")) == ["new"])
    #expect(Files.names(in: folder("copy/again")) == ["new"])
    #expect(Files.names(in: folder("copy/folder")) == [])
  }

  @Test("what cannot be read or shrinks is an error, or named where the tree is in use")
  func tolerant() throws {
    try folder.write("tree/file", "x")
    try folder.write("tree/z", "x")
    var options = TreeOptions(form: .own)
    // Removed between the look at its folder and the moment it is read.
    let path = folder("tree/z")
    options.progress = { _, _ in unlink(path) }
    #expect(throws: FerryError.self) { try pack(folder("tree"), options) }
    try folder.write("tree/z", "x")
    let file = try Descriptor.open(folder("tolerant.tar"), O_WRONLY | O_CREAT)
    let report = try TreeArchive.pack(TreeFolder(root: folder("tree")), to: file.number, options: options, isTolerant: true)
    #expect(report.noticed == 1)
    try unpack(folder("tolerant.tar"), "copy")
    #expect(Files.names(in: folder("copy")) == ["file"])
  }

  @Test("compressed archives are read, and a damaged one is an error", arguments: ["gzip", "zstd"])
  func compressed(_ program: String) throws {
    try folder.write("tree/file", String(repeating: "content ", count: 5000))
    let packed = try pack(folder("tree")).path
    guard (try? Programs.find(program)) != nil else { return }
    #expect(try Command(["sh", "-c", "\(program) -c < \(packed) > \(folder("packed"))"]).run().succeeded)
    try unpack(folder("packed"), "copy")
    differs(try TreeComparison.differences(folder("tree"), folder("copy")))
    var bytes = try Files.read(folder("packed"))
    bytes.removeLast(8)
    try Files.replace(folder("packed"), with: bytes)
    #expect(throws: FerryError.self) { try unpack(folder("packed"), "damaged") }
  }
}
