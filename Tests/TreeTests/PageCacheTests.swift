import CLinux
import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

@Suite("Page cache") struct PageCacheTests {
  /// Pages in memory, by mincore.
  private func resident(_ path: String) throws -> Int {
    let file = try Descriptor.open(path, O_RDONLY)
    var status = stat()
    fstat(file.number, &status)
    let length = Int(status.st_size)
    guard let map = mmap(nil, length, PROT_READ, MAP_SHARED, file.number, 0), map != MAP_FAILED else {
      throw FerryError(errno: errno, "cannot map \(path)")
    }
    defer { munmap(map, length) }
    var pages = [UInt8](repeating: 0, count: (length + 4095) / 4096)
    guard mincore(map, length, &pages) == 0 else { throw FerryError(errno: errno, "mincore") }
    return pages.count { $0 & 1 != 0 }
  }

  @Test("what a service has in memory stays there, and what it has not does not take its place") func spared() throws {
    let ends = try TransferEnds()
    guard try Command(["stat", "-f", "-c", "%T", ends.from]).run().output != "tmpfs\n" else { return }
    for name in ["used", "unused"] {
      let file = try Descriptor.open("\(ends.from)/\(name)", O_WRONLY | O_CREAT)
      try file.write(AwkwardTree.noise(24 << 20))
      fsync(file.number)
      posix_fadvise(file.number, 0, 0, Int32(POSIX_FADV_DONTNEED))
    }
    _ = try Files.read("\(ends.from)/used")
    try #require(try resident("\(ends.from)/used") == 6144)
    try #require(try resident("\(ends.from)/unused") == 0)
    try ends.pass()
    #expect(try ends.digests([.full]).count == 1)
    #expect(try resident("\(ends.from)/used") == 6144)
    #expect(try resident("\(ends.from)/unused") < 600, "a tenth of it")
  }
}
