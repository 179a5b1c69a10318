import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import Ferry

@Suite struct DirectTests {
  @Test("bytes arrive as they were sent, both ways, whatever their number and the number of streams", arguments: [1, 2, 4])
  func arrives(streams: Int) throws {
    for (forward, back) in [(0, 0), (1, 0), (0, 1), (16383, 70_000), (262_144, 262_145), (9_000_001, 5), (3, 3_000_000)] {
      let ends = try Ends.direct(streams: streams)
      let (there, here) = (Bytes.random(forward, seed: 3), Bytes.random(back, seed: 4))
      let got = try ends.exchange(there, here)
      #expect(got.atDestination == there)
      #expect(got.atSource == here)
      let counts = try ends.finish().map { try $0.get() }
      #expect(counts[0].sent == Int64(forward) && counts[1].received == Int64(forward))
      #expect(counts[1].sent == Int64(back) && counts[0].received == Int64(back))
      #expect(counts.allSatisfy { $0.refused == 0 })
    }
  }

  @Test("the end of one direction is passed on while the other goes on")
  func halfClose() throws {
    let ends = try Ends.direct()
    try ends.source.send(Array("question".utf8))
    _ = shutdown(ends.source.number, Int32(SHUT_WR))
    #expect(try ends.destination.readToEnd() == Array("question".utf8))
    try ends.destination.send(Array("answer".utf8))
    _ = shutdown(ends.destination.number, Int32(SHUT_WR))
    #expect(try ends.source.readToEnd() == Array("answer".utf8))
    #expect(ends.finish().allSatisfy { (try? $0.get()) != nil })
  }

  @Test("a short message is not kept until there is more")
  func conversation() throws {
    let ends = try Ends.direct()
    for round in UInt8(0)..<50 {
      try ends.source.send([round])
      #expect(try ends.destination.read(upTo: 10) == [round])
      try ends.destination.send([round, round])
      #expect(try ends.source.read(upTo: 10).first == round)
    }
    ends.movers[0].abort()
    ends.movers[1].abort()
    _ = ends.finish()
  }

  @Test("what a plugin no longer reads is counted as refused, and its sender is not held up")
  func refused() throws {
    let ends = try Ends.direct()
    ends.destination.close()
    try ends.source.send(Bytes.random(4_000_000))
    let counts = try ends.finish().map { try $0.get() }
    #expect(counts[0].sent == 4_000_000)
    #expect(counts[1].refused > 0)
    #expect(counts[1].received + counts[1].refused == 4_000_000)
  }

  @Test("nobody listens any more once both ends have met")
  func closes() throws {
    let terms = ChannelTerms(channel: "c", key: ChannelKey())
    let listener = try DirectListener(host: "127.0.0.1", terms: terms)
    let dialled = try DirectChannel.dial(host: "127.0.0.1", port: listener.port, terms: terms)
    #expect(try listener.accept(within: .seconds(60)).count == dialled.count)
    try waitFor("the listener to close") { (try? TCPSocket.connect(host: "127.0.0.1", port: listener.port, within: .seconds(5))) == nil }
  }

  @Test("an end that is cut off fails, and so does the other, whatever had arrived")
  func truncation() throws {
    let proxy = try Proxy { offset, bytes in offset > 2_000_000 ? nil : bytes }
    let ends = try Ends.direct(streams: 1, through: proxy)
    let sent = Bytes.random(6_000_000)
    let got = try ends.destinationHears(sent)
    #expect(got.count < sent.count && sent.starts(with: got))
    for end in ends.finish() { #expect(throws: FerryError.self) { try end.get() } }
  }

  @Test("a sender that closes its connection without a last block is no end of the data")
  func missingEnd() throws {
    let terms = ChannelTerms(channel: "c", key: ChannelKey(), streams: 1)
    let listener = try DirectListener(host: "127.0.0.1", terms: terms)
    let dialled = try DirectChannel.dial(host: "127.0.0.1", port: listener.port, terms: terms)
    let met = try listener.accept(within: .seconds(60))
    let (plugin, mine) = try Descriptor.socketPair()
    let (out, into) = (try #require(met["destination-0"]), try #require(met["source-0"]))
    let pump = BlockPump(plugin: plugin, out: [out], into: [into], compression: false)
    pump.start()
    dialled["source-0"]?.cut()
    mine.close()
    #expect(throws: FerryError.self) { try pump.finish() }
  }
}
