import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("What processes that were killed leave on a disk") struct LeftoverTests {
  @Test("a folder of a process that is gone is removed by the next that makes one; a living one's stays, and so does what is nobody's")
  func transient() throws {
    let folder = try TemporaryFolder()
    let beginning = folder("ferry-ssh")
    let living = try TransientFolder(beginning, orSay: "")
    for name in ["ferry-ssh-abcdef", "ferry-ssh-notours", "ferry-tree-abcdef"] { try Files.makeFolder(folder("\(name)/below")) }
    for name in ["ferry-ssh-abcdef", "ferry-tree-abcdef"] { try folder.write("\(name)/.held", "") }
    var next: TransientFolder? = try TransientFolder(beginning, orSay: "")
    #expect(Files.exists(living.path))
    #expect(
      Set(Files.names(in: folder.path).map { folder($0) })
        == [living.path, next?.path ?? "", folder("ferry-ssh-notours"), folder("ferry-tree-abcdef")])
    next = nil
    #expect(Files.names(in: folder.path).count == 3, "gone with its last reference")
  }
}
