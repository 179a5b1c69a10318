import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import Ferry

@Suite struct StrangerTests {
  private let terms = ChannelTerms(channel: "c", key: ChannelKey())

  /// Both ends meet, and what is sent arrives.
  private func meets(_ listener: DirectListener, _ terms: ChannelTerms) throws {
    let dialled = try DirectChannel.dial(host: "127.0.0.1", port: listener.port, terms: terms)
    let ends = try Ends(source: dialled, destination: listener.accept(within: .seconds(60)), terms: terms)
    #expect(try ends.exchange(Array("state".utf8), []).atDestination == Array("state".utf8))
    #expect(ends.finish().allSatisfy { (try? $0.get()) != nil })
  }

  @Test("strangers that stall, more than are looked at together, keep nobody out")
  func stall() throws {
    let listener = try DirectListener(host: "127.0.0.1", terms: terms)
    let stalling = try (0..<(DirectListener.mostCandidates + 20)).map { _ in
      try TCPSocket.connect(host: "127.0.0.1", port: listener.port, within: .seconds(60))
    }
    try meets(listener, terms)
    // Nothing was said to them.
    for each in stalling { #expect((try? each.read(upTo: 1))?.isEmpty != false) }
  }

  @Test("a stranger that talks nonsense is turned away")
  func nonsense() throws {
    let listener = try DirectListener(host: "127.0.0.1", terms: terms)
    for text in ["GET / HTTP/1.1\r\n\r\n", String(repeating: "\u{16}\u{3}", count: 4000)] {
      let stranger = try TCPSocket.connect(host: "127.0.0.1", port: listener.port, within: .seconds(60))
      try stranger.send(Array(text.utf8))
      _ = try? stranger.readToEnd()
    }
    try meets(listener, terms)
  }

  @Test("who has another key is turned away, and learns nothing")
  func wrongKey() throws {
    let listener = try DirectListener(host: "127.0.0.1", terms: terms)
    var others = terms
    others.key = ChannelKey()
    #expect(throws: FerryError.self) { try DirectChannel.dial(host: "127.0.0.1", port: listener.port, terms: others) }
    try meets(listener, terms)
  }

  @Test("a listener that has another key is not believed")
  func wrongListener() throws {
    var others = terms
    others.key = ChannelKey()
    let impostor = try DirectListener(host: "127.0.0.1", terms: others)
    #expect(throws: FerryError.self) { try DirectChannel.dial(host: "127.0.0.1", port: impostor.port, terms: terms) }
  }

  @Test("what was overheard, said again, opens nothing")
  func replay() throws {
    let proxy = try Proxy()
    let first = try DirectListener(host: "127.0.0.1", terms: terms)
    proxy.lead(to: first.port)
    let dialled = try DirectChannel.dial(host: "127.0.0.1", port: proxy.port, terms: terms)
    let ends = try Ends(source: dialled, destination: first.accept(within: .seconds(60)), terms: terms)
    _ = try ends.exchange(Array("secret state".utf8), [])
    _ = ends.finish()
    // Even the same key once more, which no run does: only what is fresh in a handshake counts.
    let second = try DirectListener(host: "127.0.0.1", terms: terms)
    let recorded = proxy.recorded
    #expect(recorded.count == 3 && recorded.allSatisfy { $0.count > 300 })
    for words in recorded {
      let stranger = try TCPSocket.connect(host: "127.0.0.1", port: second.port, within: .seconds(60))
      try stranger.send(words)
      _ = try? stranger.readToEnd()
    }
    try meets(second, terms)
  }

  @Test("one flipped bit ends the channel, and nothing of that block is handed on", arguments: [100, 1_000_003])
  func tamper(offset: Int) throws {
    let proxy = try Proxy { start, bytes in
      guard start <= 1200 + offset, start + bytes.count > 1200 + offset else { return bytes }
      var bytes = bytes
      bytes[1200 + offset - start] ^= 0x10
      return bytes
    }
    let ends = try Ends.direct(streams: 1, through: proxy)
    let sent = Bytes.random(3_000_000)
    let got = try ends.destinationHears(sent)
    #expect(got.count < sent.count && sent.starts(with: got))
    let results = ends.finish()
    #expect { try results[1].get() } throws: { ($0 as? FerryError)?.code == ChannelFailure.code }
    #expect(throws: FerryError.self) { try results[0].get() }
  }

  @Test("nothing of what is sent is seen on the way")
  func secrecy() throws {
    let proxy = try Proxy()
    let ends = try Ends.direct(streams: 2, through: proxy)
    let canary = Array("canary-in-the-state".utf8)
    _ = try ends.exchange(canary, [])
    _ = ends.finish()
    for words in proxy.recorded { #expect(String(decoding: words, as: Unicode.ASCII.self).contains("canary") == false) }
  }

  @Test("an end that waits gives up in time, and does not listen any more")
  func nobody() throws {
    let listener = try DirectListener(host: "127.0.0.1", terms: terms, lifetime: .milliseconds(50))
    #expect(throws: FerryError.self) { try listener.accept(within: .seconds(60)) }
    #expect(throws: FerryError.self) { try TCPSocket.connect(host: "127.0.0.1", port: listener.port, within: .seconds(5)) }
  }

  @Test("a key's text is not the key")
  func text() throws {
    let key = ChannelKey(hex: String(repeating: "ab", count: 32))
    #expect(try key.bytes == Array(repeating: 0xab, count: 32))
    for text in ["\(key)", String(reflecting: key), "\(ChannelTerms(channel: "c", key: key))"] { #expect(!text.contains("abab")) }
    #expect(throws: FerryError.self) { try ChannelKey(hex: "ab").bytes }
  }
}
