import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import Ferry

@Suite struct CompressionTests {
  @Test("what can be compressed takes less of a slow link")
  func slowLink() throws {
    let ends = try Ends.direct(compression: true, bandwidth: 2_000_000)
    let text = Bytes.text(6_000_000)
    #expect(try ends.exchange(text, []).atDestination == text)
    let counts = try ends.finish().map { try $0.get() }
    #expect(counts[0].sent == 6_000_000 && counts[1].received == 6_000_000)
    #expect(counts[0].wire < 4_000_000)
  }

  @Test("what cannot be compressed goes as it is")
  func incompressible() throws {
    let ends = try Ends.direct(compression: true, bandwidth: 20_000_000)
    let bytes = Bytes.random(4_000_000)
    #expect(try ends.exchange(bytes, []).atDestination == bytes)
    let counts = try ends.finish().map { try $0.get() }
    #expect(counts[0].wire >= 4_000_000)
  }

  @Test("nothing is compressed when it is switched off")
  func off() throws {
    let ends = try Ends.direct(compression: false, bandwidth: 20_000_000)
    let text = Bytes.text(4_000_000)
    #expect(try ends.exchange(text, []).atDestination == text)
    #expect(try ends.finish()[0].get().wire > 4_000_000)
  }

  @Test("it is kept while it takes more off the wire than the wire carries in the time")
  func judge() {
    var judge = CompressionJudge()
    func compressed(of blocks: Int, saved: Int, link: Double) -> Int {
      var compressed = 0
      for _ in 0..<blocks {
        let tries = judge.wantsTry()
        // 256 KiB take a millisecond to compress.
        if tries { judge.note(saved: saved, in: 0.001) }
        compressed += tries ? 1 : 0
        let length = 262_144 - (tries ? saved : 0)
        judge.note(sent: length, in: Double(length) / link)
      }
      return compressed
    }
    #expect(compressed(of: 400, saved: 130_000, link: 10e6) > 350)
    #expect(compressed(of: 1000, saved: 130_000, link: 2e9) < 60)
    #expect(compressed(of: 1000, saved: 130_000, link: 10e6) > 700)
    #expect(compressed(of: 1000, saved: 0, link: 10e6) < 60)
  }

  @Test("a block that lies about its length is refused")
  func lies() throws {
    let (far, near) = try Descriptor.socketPair()
    let (plugin, mine) = try Descriptor.socketPair()
    let wire = PlainWire(near)
    let pump = BlockPump(plugin: plugin, out: [wire], into: [wire], compression: false)
    pump.start()
    var bytes = [UInt8](repeating: 0, count: 36)
    bytes.withUnsafeMutableBytes { BlockHeader(sequence: 0, plain: 1000, packed: 20).write(to: $0) }
    try far.send(bytes)
    #expect(try mine.readToEnd().isEmpty)
    mine.close()
    #expect(throws: FerryError.self) { try pump.finish() }
  }

  @Test("no header but one that an end of ours writes is taken")
  func headers() {
    for (plain, packed) in [(BlockHeader.largest + 1, 1), (10, 11), (10, 0), (0, 1)] {
      var bytes = [UInt8](repeating: 0, count: 16)
      bytes.withUnsafeMutableBytes { BlockHeader(sequence: 1, plain: plain, packed: packed).write(to: $0) }
      #expect(bytes.withUnsafeBytes { BlockHeader($0) } == nil)
    }
  }
}
