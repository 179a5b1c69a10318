import FerrySystem
import Glibc

extension AwkwardTree {
  func modes(_ folder: BareFolder) throws {
    let isRoot = geteuid() == 0
    for mode: mode_t in [0o000, 0o001, 0o111, 0o222, 0o444, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777] {
      let name = Array("file-\(String(mode, radix: 8))".utf8)
      guard isRoot || mode & 0o400 != 0 else {
        note("a file of mode \(String(mode, radix: 8)): only root could read it again")
        continue
      }
      try folder.file(name, Array("mode".utf8))
      attempt("mode \(String(mode, radix: 8))", folder.call(name) { fchmodat($0, $1, mode, 0) })
    }
    for mode: mode_t in [0o000, 0o111, 0o555, 0o700, 0o1777, 0o2775, 0o3777] {
      let name = Array("folder-\(String(mode, radix: 8))".utf8)
      guard isRoot || mode & 0o700 == 0o700 else {
        note("a folder of mode \(String(mode, radix: 8)): only root could read it again")
        continue
      }
      try folder.folder(name).file("inside", "x")
      attempt("mode \(String(mode, radix: 8))", folder.call(name) { fchmodat($0, $1, mode, 0) })
    }
  }

  func owners(_ folder: BareFolder) throws {
    for (owner, group): (UInt32, UInt32) in [(12345, 54321), (65534, 65534), (70000, 70001), (0x7fff_fffe, 0xffff_fffd), (0, 7)] {
      let name = Array("\(owner)-\(group)".utf8)
      try folder.file(name, Array("owned".utf8))
      try folder.folder(name + Array(".d".utf8))
      _ = folder.call(name + Array(".l".utf8)) { symlinkat("x", $0, $1) }
      for suffix in ["", ".d", ".l"] {
        attempt(
          "the owner \(owner):\(group)", folder.call(name + Array(suffix.utf8)) { fchownat($0, $1, owner, group, AT_SYMLINK_NOFOLLOW) })
      }
    }
    // A change of owner takes setuid away, so the order of what is set matters.
    try folder.file("setuid")
    attempt("setuid of another owner", folder.call("setuid") { fchownat($0, $1, 4321, 4321, 0) == 0 ? fchmodat($0, $1, 0o6755, 0) : -1 })
  }

  func times(_ folder: BareFolder) throws {
    for (seconds, nanoseconds) in [
      (1_000_000_000, 123_456_789), (0, 0), (0, 1), (-1, 999_999_999), (-2_000_000_000, 1), (4_294_967_296, 5),
    ] {
      let name = "\(seconds).\(nanoseconds)"
      try folder.file(name)
      try folder.folder(name + ".d").file("inside")
      _ = folder.call(name + ".l") { symlinkat("x", $0, $1) }
      _ = folder.call(name + ".f") { mkfifoat($0, $1, 0o600) }
      for suffix in ["", ".d", ".l", ".f"] {
        let name = Array((name + suffix).utf8)
        let isSet = folder.setTime(name, seconds, nanoseconds)
        let status = try folder.status(name)
        if !isSet || status.st_mtim.tv_sec != seconds || status.st_mtim.tv_nsec != nanoseconds {
          note("the time \(seconds).\(nanoseconds): it came out as \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)")
        }
      }
    }
    folder.setTime([0x2e], 987_654_321, 7)
  }

  func attributes(_ folder: BareFolder) throws {
    let file = Array("file".utf8)
    try folder.file(file, Array("x".utf8))
    try folder.folder("folder")
    _ = folder.call("link") { symlinkat("x", $0, $1) }
    _ = folder.call("fifo") { mkfifoat($0, $1, 0o600) }
    let values: [(String, [UInt8])] = [
      ("user.plain", Array("value".utf8)), ("user.empty", []), ("user.zeros", [0, 0, 0]), ("user.Ünicode", [0xff]),
      ("user." + String(repeating: "n", count: 250), [1]), ("user.long", Self.noise(1500)), ("trusted.ferry", Array("t".utf8)),
      ("security.ferry", Array("s".utf8)),
    ]
    for (name, value) in values {
      attempt("the attribute \(name.prefix(20))", folder.setAttribute(file, name, value))
      if name.hasPrefix("user.") && value.count < 100 {
        attempt("the attribute \(name.prefix(20)) of a folder", folder.setAttribute(Array("folder".utf8), name, value))
      }
    }
    attempt("an attribute of a link", folder.setAttribute(Array("link".utf8), "trusted.ferry", [1]))
    attempt("an attribute of a fifo", folder.setAttribute(Array("fifo".utf8), "trusted.ferry", [1]))
    try folder.file("longest")
    attempt("an attribute of 60,000 bytes", folder.setAttribute(Array("longest".utf8), "user.longest", Self.noise(60_000)))
    try folder.file("many")
    for index in 0..<40 {
      attempt("forty attributes", folder.setAttribute(Array("many".utf8), "user.number-\(index)", Array("value \(index)".utf8)))
    }
    // cap_net_bind_service, effective and permitted. A change of owner or content takes it away.
    let capability: [UInt8] = [1, 0, 0, 2, 0, 4, 0, 0] + Array(repeating: 0, count: 12)
    for name in ["capable", "capable and owned"] {
      try folder.file(name, "program", mode: 0o755)
      if name != "capable" { attempt("an owner", folder.call(name) { fchownat($0, $1, 1234, 1234, 0) }) }
      attempt("a file capability", folder.setAttribute(Array(name.utf8), "security.capability", capability))
    }
    // A file that its owner may not write takes attributes only from root, or before its mode is set.
    try folder.file("read-only")
    attempt("an attribute", folder.setAttribute(Array("read-only".utf8), "user.plain", [1]))
    _ = folder.call("read-only") { fchmodat($0, $1, 0o400, 0) }
  }

  /// An ACL as the kernel takes it.
  static func accessList(_ entries: [(tag: UInt16, permissions: UInt16, id: UInt32)]) -> [UInt8] {
    func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    return bytes(UInt32(2)) + entries.flatMap { bytes($0.tag) + bytes($0.permissions) + bytes($0.id) }
  }

  func accessLists(_ folder: BareFolder) throws {
    // Owner, two users, group, a group, mask, others. Users above 65535 and a mask that takes rights away.
    let list = Self.accessList([(1, 7, .max), (2, 5, 1), (2, 6, 70000), (4, 5, .max), (8, 6, 70001), (0x10, 4, .max), (0x20, 0, .max)])
    try folder.file("access", "x")
    try folder.folder("default")
    try folder.folder("both")
    attempt("an ACL", folder.setAttribute(Array("access".utf8), "system.posix_acl_access", list))
    attempt("a default ACL", folder.setAttribute(Array("default".utf8), "system.posix_acl_default", list))
    attempt("an ACL of a folder", folder.setAttribute(Array("both".utf8), "system.posix_acl_access", list))
    attempt("a default ACL", folder.setAttribute(Array("both".utf8), "system.posix_acl_default", list))
    // What is made in a folder with a default ACL takes it over: a copy that makes the folder's list first adds to its children.
    let inside = try folder.enter(Array("both".utf8))
    try inside.file("inherits", "x")
    try inside.folder("inherits too").file("deeper", "x")
    try inside.file("has none", "x")
    _ = inside.removeAttribute(Array("has none".utf8), "system.posix_acl_access")
    _ = inside.call("has none") { fchmodat($0, $1, 0o640, 0) }
  }
}
