import FerryRecords
import FerrySystem
import Haystack
import TestSupport
import Testing

@Suite struct MirrorTests {
  /// So many records of a kilobyte.
  private struct Counted: RecordSource {
    let count: Int
    let produced = Lock(0)
    let ended = Signal()

    func forEach(_ body: (PackedDict) throws -> Void) throws {
      defer { ended.raise() }
      let text = String(repeating: "x", count: 1000)
      for number in 0..<count {
        produced.withLock { $0 += 1 }
        try body(PackedDict(["id": .ref(HRef("r\(number)")), "dis": .string(text)]))
      }
    }
  }

  @Test("a source is read while what came before is written, but only some batches ahead")
  func readsAhead() throws {
    let folder = try TemporaryFolder()
    let source = Counted(count: 4000)
    // 131,072 bytes are a batch: four lie between the two, one is being written and one is being read.
    let batch = 131_072 / 1000 + 1
    var most = 0
    var wasAhead = false
    try Mirror(folder("mirror.db")).refresh(source) { count, _ in
      let end = ContinuousClock.now + .seconds(60)
      while count == 1, !wasAhead, end > .now { wasAhead = source.produced.withLock { $0 >= batch * 3 } }
      most = max(most, source.produced.withLock { $0 } - count)
    }
    #expect(wasAhead && most <= batch * 6)
  }

  @Test("who takes no more ends the reading, and nothing is kept of it")
  func stops() throws {
    let folder = try TemporaryFolder()
    let mirror = try Mirror(folder("mirror.db"))
    let good = Counted(count: 10)
    #expect(try mirror.refresh(good) == .init(read: 10, changed: 10))
    struct Twice: RecordSource {
      let source = Counted(count: 100_000)
      func forEach(_ body: (PackedDict) throws -> Void) throws {
        try body(PackedDict(["id": .ref(HRef("r0"))]))
        try source.forEach(body)
      }
    }
    let bad = Twice()
    let error = #expect(throws: FerryError.self) { try mirror.refresh(bad) }
    #expect(error?.message == "the source has two records @r0")
    // The reading is over when `refresh` is, and did not go on to its end.
    #expect(bad.source.ended.wait(atMost: .zero))
    #expect(bad.source.produced.withLock { $0 } < 100_000)
    #expect(try mirror.store.count() == 10)
  }

  @Test("a mirror that was never finished, or that a fall of the system may have spoilt, is made anew")
  func anew() throws {
    let folder = try TemporaryFolder()
    let path = folder("mirror.db")
    #expect(try Mirror(path).refresh(Counted(count: 10)).changed == 10)
    #expect(try Mirror(path).store.count() == 10)
    _ = try Command(["sqlite3", path, "UPDATE settings SET value = 'another' WHERE name = 'boot'"]).run()
    #expect(try Mirror(path).store.count() == 0)
    try folder.write("torn.db", "")
    #expect(try Mirror(folder("torn.db")).refresh(Counted(count: 10)).changed == 10)
  }
}
