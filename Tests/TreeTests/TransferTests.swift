import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

@Suite("Transfer of trees") struct TransferTests {
  @Test("every awkward thing arrives as it is, and all digests of both ends are one", arguments: [1, 3])
  func awkward(channels: Int) throws {
    let ends = try TransferEnds()
    let tree = try AwkwardTree(at: ends.from)
    try ends.pass(channels: channels)
    #expect(try ends.differences() == [])
    #expect(try ends.digests().count == 1)
    tree.release()
  }

  @Test("what a running service does to its files between passes is done at the other end too") func rework() throws {
    let ends = try TransferEnds()
    let tree = try AwkwardTree(at: ends.from)
    try ends.pass()
    try tree.rework()
    let second = try ends.pass()
    #expect(try ends.differences() == [])
    #expect(second.sent.bytes < 12 << 20, "of a large file only what changed is sent: \(second.sent.bytes)")
    // By the next flush all times are old enough to be believed.
    try ends.pass()
    let last = try ends.pass(final: true)
    #expect(last.sent.changed == 0)
    #expect(last.sent.removed == 0)
    #expect(try ends.digests().count == 1)
  }

  @Test("random edits between passes, with fresh processes now and then, end equal", arguments: 1...4)
  func random(seed: Int) throws {
    let ends = try TransferEnds()
    let edits = RandomEdits(ends.from, seed: UInt64(seed))
    for round in 0..<8 {
      try edits.run(60)
      if round == 3 { try ends.forget(["sender"]) }
      if round == 5 { try ends.forget(["receiver"], state: seed % 2 == 0) }
      if round == 6 { try ends.forget(["sender"], state: seed % 2 == 1) }
      try ends.pass(final: round == 7)
      #expect(try ends.differences() == [], "round \(round)")
    }
    #expect(try ends.digests().count == 1)
  }

  @Test("a listing has a line for each entry, the same at both ends, and names what differs") func listing() throws {
    let ends = try TransferEnds()
    try AwkwardTree(at: ends.from, [.names, .links, .hardLinks, .sparse, .special]).release()
    try ends.pass(final: true)
    let path = "\(ends.to).listing"
    #expect(try ends.digests([.sweep, .full], listing: path).union(ends.digests()).count == 1)
    #expect(try Files.read("\(path).from") == Files.read("\(path).to"))
    chmod("\(ends.to)/names", 0o701)
    #expect(try ends.digests([.sweep], listing: path).count == 2)
    let (one, two) = (try Files.read("\(path).from").split(separator: 10), try Files.read("\(path).to").split(separator: 10))
    #expect(zip(one, two).filter { $0 != $1 }.map { String(decoding: $0.0.dropFirst(33), as: UTF8.self) } == ["names"])
  }

  @Test("what arrived before both ends died is neither read again nor sent again") func keptWhileRunning() throws {
    let ends = try TransferEnds()
    let (size, count) = (1 << 19, 64)
    for number in 0..<count {
      try Descriptor.open("\(ends.from)/\(number)", O_WRONLY | O_CREAT).write(AwkwardTree.noise(size, seed: UInt64(number + 1)))
    }
    let cancellation = Cancellation()
    ends.options.keeping = .zero
    ends.receiving = ends.options
    ends.receiving?.cancellation = cancellation
    ends.receiving?.progress = { bytes, _ in if bytes > Int64(size * count / 2) { cancellation.cancel() } }
    #expect(throws: FerryError.self) { try ends.pass() }
    try ends.forget()

    // The receiver looks at what it has before the sender begins.
    let hasBegun = Lock(false)
    let read = Lock(Int64(0))
    ends.options.progress = { _, _ in hasBegun.withLock { $0 = true } }
    ends.receiving?.cancellation = nil
    ends.receiving?.progress = { bytes, _ in if !hasBegun.withLock({ $0 }) { read.withLock { $0 = bytes } } }
    let second = try ends.pass()
    #expect(read.withLock { $0 } < Int64(size * count / 4))
    #expect(second.sent.bytes < Int64(size * count * 3 / 4))
    try ends.pass(final: true)
    #expect(try ends.differences() == [])
    #expect(try ends.digests().count == 1)
  }
}
