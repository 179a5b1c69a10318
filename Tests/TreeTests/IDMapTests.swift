import CLinux
import FerryArchive
import FerrySystem
@testable import FerryTree
import Glibc
import TestSupport
import Testing

@Suite struct IDMapTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  private func map(_ users: String, _ groups: String, user: String = "0") throws -> IDMap {
    try folder.write("subuid", users)
    try folder.write("subgid", groups)
    return try IDMap(user: user, subordinateUsers: folder("subuid"), subordinateGroups: folder("subgid"))
  }

  @Test("root in the namespace is the user, the others are the subordinate ids, file order, by name or number")
  func rootless() throws {
    let map = try map("nobody:5:5\nroot:100000:10\n0:200000:65536\nothers:1:1\n", "root:300000:65536\n")
    let expected: [IDMap.Span] = [
      .init(inside: 0, outside: 0, count: 1), .init(inside: 1, outside: 100_000, count: 10),
      .init(inside: 11, outside: 200_000, count: 65536),
    ]
    #expect(map.users == expected)
    #expect(map.onDisk(user: 0) == 0)
    #expect(map.onDisk(user: 10) == 100_009)
    #expect(map.onDisk(user: 11) == 200_000)
    #expect(map.onDisk(user: 65546) == 265_535)
    #expect(map.onDisk(user: 65547) == nil)
    #expect(map.onDisk(group: 1000) == 300_999)
    #expect(map.inStream(group: 300_000) == 1)
    #expect(map.inStream(group: 299_999) == nil)
    for id in [UInt32(0), 1, 10, 11, 5000] { #expect(map.onDisk(user: id).flatMap { map.inStream(user: $0) } == id) }
  }

  @Test("a user without subordinate ids has one id, and a map that gives one id twice is refused")
  func bounds() throws {
    let alone = try map("", "")
    #expect(alone.onDisk(user: 0) == 0)
    #expect(alone.onDisk(user: 1) == nil)
    for lines in ["root:100:10\nroot:109:5\n", "root:4294967290:100\n", "root:x:5\n", "root:5\n", "root:0:5\n"] {
      #expect(throws: FerryError.self, "\(lines)") { try map(lines, "") }
    }
    #expect(throws: FerryError.self) { try map("", "", user: "no such user here") }
  }

  @Test("a process's own map is read, also the one of the first namespace")
  func process() throws {
    let own = try IDMap(process: getpid())
    #expect(own.inStream(user: geteuid()) != nil)
    #expect(try IDMap.parse("         0          0 4294967295\n") == [.init(inside: 0, outside: 0, count: .max)])
  }

  @Test(
    "a rootless volume comes out under the other end's ids, and an id outside of a map is an error",
    .enabled(if: geteuid() == 0, "owners are root's"))
  func volume() throws {
    let source = try IDMap(
      users: [.init(inside: 0, outside: 1000, count: 1), .init(inside: 1, outside: 100_000, count: 65536)],
      groups: [.init(inside: 0, outside: 5_000_000, count: 65536)])
    let target = try IDMap(
      users: [.init(inside: 0, outside: 2000, count: 1), .init(inside: 1, outside: 900_000, count: 65536)],
      groups: [.init(inside: 0, outside: 70000, count: 65536)])
    for (name, user, group) in [
      ("root", UInt32(1000), UInt32(5_000_000)), ("service", 100_999, 5_001_000), ("folder/file", 165_535, 5_065_535),
    ] {
      try folder.write("volume/\(name)", name)
      lchown(folder("volume/\(name)"), user, group)
    }
    for name in ["", "/folder"] { lchown(folder("volume\(name)"), 1000, 5_000_000) }
    var options = (TreeOptions(form: .own), TreeOptions(form: .own))
    options.0.owners = source
    options.1.owners = target
    func move(_ name: String) throws {
      try Files.makeFolder(folder(name))
      let file = try Descriptor.open(folder("\(name).tar"), O_RDWR | O_CREAT)
      _ = try TreeArchive.pack(TreeFolder(root: folder("volume")), to: file.number, options: options.0)
      lseek(file.number, 0, SEEK_SET)
      _ = try TreeArchive.unpack(from: file.number, into: TreeFolder(root: folder(name)), options: options.1)
    }
    try move("copy")
    let found = try TreeComparison.differences(
      folder("volume"), folder("copy"), owner: { $0 == 1000 ? 2000 : $0 + 800_000 }, group: { $0 - 4_930_000 })
    #expect(found == [])
    lchown(folder("volume/service"), 99_999, 5_000_000)
    #expect(throws: FerryError.self) { try move("other") }
  }

  @Test(
    "ids inside of ACLs and capabilities go through the maps like owners, in every way to move and to prove",
    .enabled(if: geteuid() == 0, "owners are root's"))
  func attributes() throws {
    func map(_ base: UInt32) throws -> IDMap {
      let spans: [IDMap.Span] = [.init(inside: 0, outside: base, count: 1), .init(inside: 1, outside: base + 100_000, count: 65536)]
      return try IDMap(users: spans, groups: spans)
    }
    let (here, there) = (try map(1000), try map(2000))
    func list(_ user: UInt32, _ group: UInt32) -> [UInt8] {
      ExtendedAttributes.accessList([(1, 7, .max), (2, 5, user), (4, 5, .max), (8, 6, group), (0x10, 7, .max), (0x20, 0, .max)])
    }
    func capability(_ root: UInt32) -> [UInt8] {
      [1, 0, 0, 3, 0, 4, 0, 0] + Array(repeating: 0, count: 12) + withUnsafeBytes(of: root.littleEndian) { Array($0) }
    }
    let ends = try TransferEnds()
    for name in ["from", "to"] { lchown("\(name == "from" ? ends.from : ends.to)", 1000, 1000) }
    for (name, attribute, value) in [
      ("access", "system.posix_acl_access", list(101_000, 101_001)), ("capable", "security.capability", capability(1000)),
    ] {
      let file = try Descriptor.open("\(ends.from)/\(name)", O_WRONLY | O_CREAT, mode: 0o755)
      fchown(file.number, 1000, 101_000)
      #expect(clinux_setxattr("\(ends.from)/\(name)", attribute, value, UInt64(value.count)) == 0)
    }
    (ends.options.owners, ends.receiving) = (here, TreeOptions())
    ends.receiving?.owners = there
    try ends.pass(final: true)
    func attribute(_ path: String, _ name: String) -> [UInt8] {
      var value = [UInt8](repeating: 0, count: 200)
      let count = Int(clinux_getxattr(path, name, &value, 200, 0))
      return Array(value.prefix(max(0, count)))
    }
    #expect(attribute("\(ends.to)/access", "system.posix_acl_access") == list(102_000, 102_001))
    #expect(attribute("\(ends.to)/capable", "security.capability") == capability(2000))
    #expect(try ends.digests().count == 1)
    // As an archive, and by the digest of another algorithm.
    try Files.makeFolder(folder("unpacked"))
    let file = try Descriptor.open(folder("tar"), O_RDWR | O_CREAT)
    var options = (TreeOptions(form: .own), TreeOptions(form: .own))
    (options.0.owners, options.1.owners) = (here, there)
    _ = try TreeArchive.pack(TreeFolder(root: ends.from), to: file.number, options: options.0)
    lseek(file.number, 0, SEEK_SET)
    _ = try TreeArchive.unpack(from: file.number, into: TreeFolder(root: folder("unpacked")), options: options.1)
    #expect(attribute("\(folder("unpacked"))/access", "system.posix_acl_access") == list(102_000, 102_001))
    let (sender, receiver) = try ends.ends()
    #expect(try sender.digest(.full, algorithm: .sha256).root == receiver.digest(.full, algorithm: .sha256).root)
    // A user that the map does not have.
    let stranger = list(5, 101_001)
    #expect(clinux_setxattr("\(ends.from)/access", "system.posix_acl_access", stranger, UInt64(stranger.count)) == 0)
    #expect(throws: FerryError.self) { try ends.pass(final: true) }
  }
}
