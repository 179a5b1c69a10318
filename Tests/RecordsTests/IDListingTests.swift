import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import FerryRecords

@Suite("A listing of records") struct IDListingTests {
  @Test("is sorted by the bytes of the ids, in whatever order they come", arguments: [false, true])
  func sorted(_ isInOrder: Bool) throws {
    let folder = try TemporaryFolder()
    let ids = ["a", "a.b", "a:c", "p:b:r:1", "r:1", "r:10", "r:2", "Ä", "Z"]
    let ordered = ids.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    let listing = try IDListing(path: folder("listing"))
    for id in isInOrder ? ordered : ordered.reversed() { try listing.add("of \(id)", id.utf8) }
    try listing.finish()
    #expect(try folder.read("listing") == ordered.map { "of \($0)\t\($0)\n" }.joined())
  }
}
