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

  /// A service's files: those that it uses are in memory, the others are not.
  private func make(_ folder: String, files: Int, size: Int) throws {
    for place in ["used", "unused"] {
      try Files.makeFolder("\(folder)/\(place)")
      for number in 0..<files { try Descriptor.open("\(folder)/\(place)/\(number)", O_WRONLY | O_CREAT).write(AwkwardTree.noise(size)) }
    }
    try TreeFolder(root: folder).flush()
    for (place, number) in ["used", "unused"].flatMap({ place in (0..<files).map { (place, $0) } }) {
      let file = try Descriptor.open("\(folder)/\(place)/\(number)", O_RDONLY)
      posix_fadvise(file.number, 0, 0, Int32(POSIX_FADV_DONTNEED))
      if place == "used" { _ = try Files.read("\(folder)/\(place)/\(number)") }
    }
  }

  private func resident(in folder: String) throws -> Int {
    try Files.names(in: folder).reduce(0) { try $0 + resident("\(folder)/\($1)") }
  }

  @Test(
    "what a service has in memory stays there, and what it has not does not take its place, be it one large file or many small ones",
    arguments: [(1, 24 << 20), (200, 96 << 10)])
  func spared(files: Int, size: Int) throws {
    let ends = try TransferEnds()
    guard try Command(["stat", "-f", "-c", "%T", ends.from]).run().output != "tmpfs\n" else { return }
    try make(ends.from, files: files, size: size)
    let pages = files * size / 4096
    try #require(try resident(in: "\(ends.from)/used") == pages)
    try #require(try resident(in: "\(ends.from)/unused") == 0)
    try ends.pass()
    #expect(try ends.digests([.full]).count == 1)
    #expect(try resident(in: "\(ends.from)/used") == pages)
    #expect(try resident(in: "\(ends.from)/unused") < pages / 10)
  }
}
