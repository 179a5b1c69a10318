import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import Ferry

/// Two agents on this machine, joined in every way there is.
@Suite struct MakerTests {
  /// Two agents with a run's session each, and the plugin whose items are files.
  final class Nodes: Sendable {
    let folder: TemporaryFolder
    let source: NodeConnection
    let destination: NodeConnection
    let manifest: Manifest
    let notices = Lock<[String]>([])
    let said = Lock<[String]>([])

    init(_ channel: Manifest.Channel) throws {
      let folder = try TemporaryFolder()
      self.folder = folder
      try Files.makeFolder(folder("plugins"))
      let built = try Command([
        "cc", "-shared", "-fPIC", "-I\(Products.repository)/include", "-o", folder("plugins/example.so"),
        "\(Products.repository)/Plugins/Example/example.c",
      ]).run()
      guard built.succeeded else { throw FerryError(.internal, "cc: \(built.reason)") }
      let configuration = Engine.Configuration(executable: Products.ferry, stateFolder: folder("state"), pluginFolders: [folder("plugins")])
      var manifest = Manifest(
        file: "m.yaml", digest: "0", name: "m", mode: .copy, source: NodeSpec(node: "local", name: "a", home: folder("a")),
        destination: NodeSpec(node: "local", name: "b", home: folder("b")))
      manifest.channel = channel
      manifest.state = [
        ItemSpec(
          name: "file", provider: "example-file",
          config: ["from": ["file": .string(folder("from"))], "to": ["file": .string(folder("to"))]])
      ]
      self.manifest = manifest
      let ends = try Side.allCases.map { [said] side in
        let node = try NodeConnection(manifest.node(side), side: side, configuration: configuration) { kind, params in
          said.withLock { $0.append("\(kind) \(params)") }
        }
        _ = try node.open(manifest.openRequest(run: "0a0b0c0d", side: side, epoch: 1))
        return node
      }
      (source, destination) = (ends[0], ends[1])
    }

    deinit {
      source.close()
      destination.close()
    }

    func maker(hosts: [Side: String] = [:], key: ChannelKey? = nil) -> ChannelMaker {
      ChannelMaker(
        manifest, source: source, destination: destination, hosts: hosts, newKey: { key ?? ChannelKey() },
        notice: { text in self.notices.withLock { $0.append(text) } })
    }

    /// Sends the file through a channel and answers the counts of both ends.
    func send(_ bytes: [UInt8], over channel: String) throws -> [ChannelCounts] {
      let from = try Descriptor.open(folder("from"), O_WRONLY | O_CREAT | O_TRUNC)
      try from.write(bytes)
      let offer = try destination.call(CallRequest(item: "file", call: .prepare)).result
      _ = try source.call(CallRequest(item: "file", call: .prepare, arguments: ["offer": offer]))
      return try Threads.map([(source, ProviderCall.transfer), (destination, .receive)]) { node, call in
        try node.call(CallRequest(item: "file", call: call, first: true, final: true, channel: channel)).counts ?? ChannelCounts()
      }
    }
  }

  @Test("every way brings the same bytes", arguments: Manifest.Channel.allCases)
  func ways(channel: Manifest.Channel) throws {
    let nodes = try Nodes(channel)
    let maker = nodes.maker()
    try maker.make("one")
    let counts = try nodes.send(Bytes.random(3_000_000), over: "one")
    #expect(counts[0].sent >= 3_000_000 && counts[0].sent == counts[1].received && counts[1].refused == 0)
    #expect(nodes.notices.withLock { $0.isEmpty })
  }

  @Test("where the destination cannot listen, the source does")
  func reverse() throws {
    let nodes = try Nodes(.direct)
    let maker = nodes.maker(hosts: [.source: "127.0.0.1", .destination: "203.0.113.1"])
    #expect(try maker.describe().contains("a listens"))
    try maker.make("one")
    #expect(try nodes.send(Bytes.random(100_000), over: "one")[1].received >= 100_000)
  }

  @Test("where neither can, auto goes through ssh and says why, once")
  func fallback() throws {
    let nodes = try Nodes(.auto)
    let maker = nodes.maker(hosts: [.source: "203.0.113.1", .destination: "203.0.113.2"])
    for name in ["one", "two"] { try maker.make(name) }
    #expect(try nodes.send(Bytes.random(100_000), over: "one")[1].received >= 100_000)
    let notices = nodes.notices.withLock { $0 }
    #expect(notices.count == 1)
    #expect(["through ssh", "203.0.113.1", "203.0.113.2"].allSatisfy { notices.first?.contains($0) == true })
  }

  @Test("where neither can, direct fails with both reasons")
  func noFallback() throws {
    let nodes = try Nodes(.direct)
    let maker = nodes.maker(hosts: [.source: "203.0.113.1", .destination: "203.0.113.2"])
    #expect {
      try maker.make("one")
    } throws: {
      "\($0)".contains("203.0.113.1") && "\($0)".contains("203.0.113.2") && "\($0)".contains("channel: ssh")
    }
  }

  @Test("a plan tells which way it would be, and leaves nothing that listens")
  func plan() throws {
    #expect(try Nodes(.auto).maker().describe() == "a unix socket: both nodes are local")
    #expect(try Nodes(.ssh).maker().describe() == "through ssh")
    let nodes = try Nodes(.direct)
    #expect(try nodes.maker().describe().hasPrefix("direct"))
    let failing = try Nodes(.auto)
    #expect(
      try failing.maker(hosts: [.source: "203.0.113.1", .destination: "203.0.113.2"]).describe().contains("through ssh (no direct channel"))
  }

  @Test("the key is in no argument, no variable, no file and no message")
  func canary() throws {
    let nodes = try Nodes(.direct)
    let hex = Hex.random(32)
    let maker = nodes.maker(key: ChannelKey(hex: hex))
    try maker.make("one")
    _ = try nodes.send(Bytes.random(100_000), over: "one")
    // A listener that nobody comes to, and a dial that fails, say nothing of it either.
    let terms = ChannelTerms(channel: "two", key: ChannelKey(hex: hex))
    var errors = ""
    do {
      try nodes.source.send(.connect, ConnectRequest(terms: terms, address: .direct(host: "127.0.0.1", port: 1)))
    } catch { errors = "\(error)" }
    #expect(errors.contains("127.0.0.1:1"))
    var seen = [errors] + nodes.said.withLock { $0 }
    for process in Files.names(in: "/proc") where Int32(process) != nil {
      for file in ["cmdline", "environ"] {
        seen.append(String(decoding: (try? Files.read("/proc/\(process)/\(file)")) ?? [], as: UTF8.self))
      }
    }
    let found = try Command(["grep", "-rl", hex, nodes.folder.path]).run()
    #expect(found.output.isEmpty)
    #expect(!seen.contains { $0.contains(hex) })
  }

  @Test("`ferry link` leads to the agent's socket, whose token comes by its stdin")
  func link() throws {
    let folder = try TemporaryFolder()
    let listener = try ChannelListener(below: folder.path)
    #expect(!listener.address.token.contains(listener.address.name))
    let process = try NodeProcess.spawn([Products.ferry, "link", "--home", folder.path, "--channel", listener.address.name], quiet: true)
    try process.stream.send(Array(listener.address.token.utf8))
    let agent = try listener.accept(timeout: .seconds(60))
    try agent.send(Array("there".utf8))
    #expect(try process.stream.read(upTo: 5) == Array("there".utf8))
    try process.stream.send(Array("back".utf8))
    #expect(try agent.read(upTo: 4) == Array("back".utf8))
    agent.close()
    #expect(try process.stream.readToEnd().isEmpty)
    process.end()
    #expect(process.outcome(within: .seconds(60)).code == 0)
  }
}
