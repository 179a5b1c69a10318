import FerryRecords
import FerrySystem
import Haystack
import TestSupport
import Testing

@Suite struct StoreTests {
  @Test("edits are kept, each with a newer mod; those that were made on an old one are refused")
  func edits() throws {
    let folder = try TemporaryFolder()
    let store = try RecordStore(creating: folder("a.db"), project: "demo")
    let id = try #require(try store.commit([.add(record("{dis:\"x\" ref:@y}"))]).first)
    let first = try #require(try store.read(id)).tree
    #expect(id.hasPrefix("p:demo:r:") && first["ref"] == .ref(HRef("p:demo:r:y")))
    guard case .dateTime(let mod)? = first["mod"] else { throw FerryError(.internal, "no mod") }
    try store.commit([.update(id: id, ["dis": .string("z"), "ref": .remove], mod: mod)])
    let second = try #require(try RecordStore(path: folder("a.db")).read(id)).tree
    #expect(second["dis"] == .string("z") && second["ref"] == nil && second["mod"] != first["mod"])
    #expect(throws: FerryError.self) { try store.commit([.update(id: id, ["dis": .string("late")], mod: mod)]) }
    #expect(throws: FerryError.self) { try store.commit([.add(record("{id:@a}")), .remove(id: "nobody")]) }
    #expect(try store.read("a") == nil)
    #expect(try store.count() == 1)
    #expect(throws: FerryError.self) { try RecordStore(creating: folder("a.db"), project: "demo") }
    #expect(throws: FerryError.self) { try RecordStore(path: folder("none.db")) }
    try folder.write("text", "no database, but long enough to look at")
    #expect(throws: FerryError.self) { try RecordStore(path: folder("text")) }
  }

  @Test("what an index can answer is asked of it, and comes out the same")
  func indexes() throws {
    let folder = try TemporaryFolder()
    let store = try RecordStore(creating: folder("a.db"), project: "")
    try store.commit(
      (0..<300).map { .add(try record("{id:@r\($0) \(["site", "equip", "point"][$0 % 3]) n:\($0) siteRef:@r\($0 / 3 * 3)}")) })
    for (text, plan) in [
      ("site", "shapes"), ("site or equip", "shapes"), ("n", "all"), ("not site", "all"), ("id == @r7", "id"),
      ("point and siteRef->n > 100", "shapes"),
    ] {
      let filter = try Filter(text)
      #expect(try store.plan(filter) == plan, "\(text)")
      var byHand = 0
      try store.forEach { record in
        struct Finder: RecordFinder {
          let store: RecordStore
          func find(_ id: UnsafeRawBufferPointer, _ found: (UnsafeRawBufferPointer) -> Bool) -> Bool {
            (try? store.read(String(decoding: id, as: UTF8.self)))??.bytes.withUnsafeBytes(found) ?? false
          }
        }
        if filter.matches(record, finder: Finder(store: store)) { byHand += 1 }
        return true
      }
      #expect(try store.count(filter) == byHand && byHand > 0, "\(text)")
    }
  }
}
