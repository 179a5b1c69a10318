@testable import Ferry
import FerrySystem
import Glibc
import HostSupport
import RunSupport
import TestSupport
import Testing

@Suite("A link that is slow, lossy or in somebody's hands", .enabled(if: TestHosts.available && TestWire.available))
struct BadLinkTests {
  /// A world with enough in its ledger to fill many packets, none of which compresses.
  private static func world(_ quality: TestWire.Quality, kilobytes: Int = 300) throws -> World {
    let world = try World(hosts: ["a", "b"])
    let noise = (0..<kilobytes).map { _ in Hex.random(512) }.joined(separator: "\n")
    try world.folder.write("a/ledger", "\(try world.folder.read("a/ledger"))\(noise)\n")
    try world.hosts?.impair("a", "b", quality)
    return world
  }

  @Test("40 ms away and with each fiftieth packet lost, a move takes the direct way and loses nothing")
  func slow() async throws {
    let world = try Self.world(.init(delay: .milliseconds(20), losesEach: 50))
    let notices = Collected<String>()
    let result = try await world.run(world.manifest()) { if $0.kind == .notice { notices.add($0.text ?? "") } }
    #expect(result.exit == .done, "\(result)")
    #expect(notices.all.filter { $0.contains("ssh") } == [])
    #expect(try world.complaints(serving: "b") == [])
  }

  @Test("what somebody on the way changes is found out, and the same run goes on through ssh")
  func tampered() async throws {
    let world = try Self.world(.init(tamper: TestWire.swapWords))
    let notices = Collected<String>()
    let result = try await world.run(world.manifest()) { if $0.kind == .notice { notices.add($0.text ?? "") } }
    #expect(result.exit == .done, "\(result)")
    #expect(notices.all.contains { $0.contains("the direct channel failed, further ones go through ssh") }, "\(notices.all)")
    #expect(try world.complaints(serving: "b") == [])
  }

  @Test("a direct channel that is cut in the middle of a pass is given up, and the pass is done again through ssh")
  func cut() async throws {
    try await Threads.run {
      let world = try Self.world(.init(), kilobytes: 2000)
      let outcome = try world.ferry(
        "run", world.manifestFile(extra: "limits: { bandwidth: 1MB/s, compression: none }"), at: "copy#0 intended", {}
      ) {
        try waitFor("the first bytes", seconds: 120) {
          Files.names(in: world.folder("b")).contains { (try? Files.read(world.folder("b/\($0)")))?.isEmpty == false }
        }
        try world.hosts?.cut("a", "b")
      }
      #expect(outcome.code == 0, "\(outcome)")
      #expect(try world.hasSaid("the direct channel failed, further ones go through ssh"))
      #expect(try world.complaints(serving: "b") == [])
    }
  }

  @Test("strangers at the port that a run listens at, who stall or talk nonsense, change nothing")
  func strangers() async throws {
    let world = try Self.world(.init(delay: .milliseconds(50)))
    let host = try #require(try world.hosts?["b"])
    let (isOver, met) = (Lock(false), Lock<[Descriptor]>([]))
    let stranger = Signal()
    Threads.detach {
      while !isOver.withLock({ $0 }) {
        for port in host.listening() where port != 22 {
          guard let socket = try? TCPSocket.connect(host: host.address, port: port, within: .seconds(5)) else { continue }
          if Bool.random() { _ = Array("GET / HTTP/1.1\r\n\r\n".utf8).withUnsafeBytes { Sockets.send(socket.number, $0) } }
          met.withLock { $0.append(socket) }
        }
        usleep(1000)
      }
      stranger.raise()
    }
    let notices = Collected<String>()
    let result = try await world.run(world.manifest()) { if $0.kind == .notice { notices.add($0.text ?? "") } }
    isOver.withLock { $0 = true }
    stranger.wait()
    #expect(!met.withLock { $0.isEmpty }, "nobody has found the port")
    #expect(result.exit == .done, "\(result)")
    #expect(notices.all.filter { $0.contains("ssh") } == [])
    #expect(try world.complaints(serving: "b") == [])
  }
}
