import CLinux
import FerrySystem
import Glibc

/// What a running service does to its files, once each. `prepare` lays out what `run` then changes.
struct Rework {
  let folder: BareFolder
  var leftOut: [String] = []

  private static let large = 18 << 20

  static func prepare(_ folder: BareFolder) throws {
    for name in [
      "becomes a folder", "deleted", "grows", "shrinks", "emptied", "same size", "renamed", "mode", "owner", "time", "mapped",
      "swapped one",
      "swapped two", "becomes a link", "replaced", "backdated",
    ] { try folder.file(name, "content of \(name)") }
    for name in [
      "becomes a file", "deleted whole", "made anew", "renamed folder", "moved into", "swapped folder one", "swapped folder two",
      "becomes a link too",
      "folder's mode", "opaque",
    ] { try folder.folder(name).folder("inner").file("file", "inside \(name)") }
    try folder.file("linked", "one file")
    _ = folder.call("linked") { linkat($0, $1, $0, "linked again", 0) }
    try folder.file("split", "one file")
    _ = folder.call("split") { linkat($0, $1, $0, "split again", 0) }
    try folder.file("to be linked", "x")
    _ = folder.call("retargeted") { symlinkat("old", $0, $1) }
    _ = folder.call("becomes a file from a link") { symlinkat("old", $0, $1) }
    try folder.file(Array("large".utf8), AwkwardTree.noise(large, seed: 18))
    try folder.file(Array("punched".utf8), AwkwardTree.noise(1 << 20, seed: 19))
    try folder.file("attributes", "x")
    _ = folder.setAttribute(Array("attributes".utf8), "user.removed", [1])
    _ = folder.setAttribute(Array("attributes".utf8), "user.changed", [1])
    try folder.folder("chain").folder("a").folder("b").folder("c").file("file", "deep")
  }

  mutating func run() throws {
    try replaceKinds()
    try changeContent()
    try changeMetadata()
    try move()
  }

  private func name(_ text: String) -> [UInt8] { Array(text.utf8) }

  private mutating func must(_ what: String, _ works: Bool) {
    let code = errno
    if !works { leftOut.append("\(what): \(String(cString: strerror(code)))") }
  }

  /// Removes a folder and the `inner/file` in it.
  private mutating func removeFolder(_ text: String) throws {
    let outer = try folder.enter(name(text))
    let inner = try outer.enter(name("inner"))
    must("unlink", inner.call("file") { unlinkat($0, $1, 0) })
    must("rmdir", outer.call("inner") { unlinkat($0, $1, AT_REMOVEDIR) })
    must("rmdir", folder.call(text) { unlinkat($0, $1, AT_REMOVEDIR) })
  }

  private mutating func replaceKinds() throws {
    must("unlink", folder.call("becomes a folder") { unlinkat($0, $1, 0) })
    try folder.folder("becomes a folder").folder("inner").file("file", "new")
    try removeFolder("becomes a file")
    try folder.file("becomes a file", "new")
    must("unlink", folder.call("deleted") { unlinkat($0, $1, 0) })
    try removeFolder("deleted whole")
    try removeFolder("made anew")
    try folder.folder("made anew").file("other", "new")
    try removeFolder("opaque")
    try folder.folder("opaque").folder("inner").file("another file", "new")
    must("unlink", folder.call("becomes a link") { unlinkat($0, $1, 0) })
    must("symlink", folder.call("becomes a link") { symlinkat("swapped one", $0, $1) })
    try removeFolder("becomes a link too")
    must("symlink", folder.call("becomes a link too") { symlinkat("/etc", $0, $1) })
    must("unlink", folder.call("becomes a file from a link") { unlinkat($0, $1, 0) })
    try folder.file("becomes a file from a link", "x")
    must("unlink", folder.call("retargeted") { unlinkat($0, $1, 0) })
    must("symlink", folder.call("retargeted") { symlinkat("new", $0, $1) })
    // As editors do it: another file takes the name.
    try folder.file("replaced.tmp", "content of rEplaced")
    must("rename", folder.call("replaced.tmp") { renameat($0, $1, $0, "replaced") })
  }

  private mutating func changeContent() throws {
    try folder.open(name("grows"), O_WRONLY | O_APPEND).write(AwkwardTree.noise(100_000))
    for (file, size) in [("shrinks", 3), ("emptied", 0)] {
      let file = try folder.open(name(file), O_WRONLY)
      must("ftruncate", ftruncate(file.number, size) == 0)
    }
    try folder.open(name("same size"), O_WRONLY).write([0x43])
    let large = try folder.open(name("large"), O_WRONLY)
    for offset in [0, 5_000_000, Self.large - 1] {
      must("pwrite", pwrite(large.number, [0xaa, 0xbb], offset == Self.large - 1 ? 1 : 2, offset) > 0)
    }
    let punched = try folder.open(name("punched"), O_RDWR)
    must("punching a hole", clinux_punch_hole(punched.number, 262_144, 262_144) == 0)
    let mapped = try folder.open(name("mapped"), O_RDWR)
    let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped.number, 0)
    mapped.close()
    must("mmap", page != MAP_FAILED)
    if let page, page != MAP_FAILED {
      page.storeBytes(of: 0x4d, as: UInt8.self)
      msync(page, 4096, Int32(MS_SYNC))
      munmap(page, 4096)
    }
    // Of the old size and the old time: only the change time tells.
    let before = try folder.status(name("backdated"))
    try folder.open(name("backdated"), O_WRONLY).write(name("CONTENT"))
    must("utimensat", folder.setTime(name("backdated"), before.st_mtim.tv_sec, before.st_mtim.tv_nsec))
  }

  private mutating func changeMetadata() throws {
    must("chmod", folder.call("mode") { fchmodat($0, $1, 0o4711, 0) })
    if geteuid() == 0 { must("chown", folder.call("owner") { fchownat($0, $1, 1111, 2222, 0) }) }
    must("utimensat", folder.setTime(name("time"), 5, 5))
    must("chmod", folder.call("folder's mode") { fchmodat($0, $1, 0o2751, 0) })
    _ = folder.setAttribute(name("attributes"), "user.changed", [2, 2])
    _ = folder.setAttribute(name("attributes"), "user.added", [3])
    _ = folder.removeAttribute(name("attributes"), "user.removed")
  }

  private mutating func move() throws {
    func rename(_ from: String, _ to: String) { must("rename", folder.call(from) { renameat($0, $1, $0, to) }) }
    rename("renamed", "renamed now")
    rename("renamed folder", "renamed folder now")
    try folder.enter(name("renamed folder now")).enter(name("inner")).file("file", "changed after the move")
    rename("moved into", "made anew/moved into")
    // Each one of the swapped has the other's old name.
    for kind in ["swapped", "swapped folder"] {
      rename("\(kind) one", "between")
      rename("\(kind) two", "\(kind) one")
      rename("between", "\(kind) two")
    }
    // A folder comes to lie in one that lay in it.
    rename("chain/a/b", "chain/b")
    rename("chain/a", "chain/b/c/a")
    must("unlink", folder.call("linked again") { unlinkat($0, $1, 0) })
    must("unlink", folder.call("split again") { unlinkat($0, $1, 0) })
    try folder.file("split again", "one file")
    must("link", folder.call("to be linked") { linkat($0, $1, $0, "and was", 0) })
  }
}
