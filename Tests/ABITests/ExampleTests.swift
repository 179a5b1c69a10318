import Ferry
import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("The teaching plugin")
struct ExampleTests {
  private static let built = Result {
    let folder = try Misbehaving.shared.get()
    return try Misbehaving.compile(
      "\(Products.repository)/Plugins/Example/example.c", to: folder("example.so"), ["-Wall", "-Wextra", "-Werror"])
  }

  private let bench: Bench
  private let source: String
  private let target: String

  init() throws {
    bench = try Bench()
    source = try bench.folder.write("a/settings", "hello, ferry\n", mode: 0o640)
    try Files.makeFolder(bench.folder("b"))
    target = bench.folder("b/settings")
  }

  /// Runs calls in one fresh host.
  private func at(_ side: Side, _ work: (HostProcess) throws -> Void) throws {
    let file = try bench.pluginFile(Self.built.get())
    let host = try bench.start(file, "example-file", side, ["file": .string(side == .source ? source : target)])
    defer { host.end() }
    try work(host)
  }

  private func call(_ side: Side, _ call: ProviderCall, _ arguments: JSONValue = [:]) throws -> JSONValue {
    var reply: JSONValue = .null
    try at(side) { reply = try $0.call(call, arguments: arguments) }
    return reply
  }

  private func pass(_ flags: PassFlags) throws {
    let (left, right) = try Descriptor.socketPair()
    try at(.source) { source in
      try at(.destination) { destination in
        let results = try Threads.map([true, false]) { sends in
          let reply =
            try sends
            ? source.call(.transfer, flags: flags, channels: [left]) : destination.call(.receive, flags: flags, channels: [right])
          return reply["bytes"]?.int
        }
        #expect(results[0] == results[1])
      }
    }
  }

  private func names() -> [String] { Files.names(in: bench.folder("b")) }
  private func content() throws -> String { try bench.folder.read("b/settings") }

  @Test("it needs nothing but cc and the header, and imports no symbol of ours")
  func imports() throws {
    let symbols = try Command(["nm", "-D", "--defined-only", Self.built.get()]).run().output
    #expect(symbols.split(separator: "\n").map { $0.split(separator: " ").last } == ["ferry_module_v1"])
    let imported = try Command(["nm", "-D", "--undefined-only", Self.built.get()]).run().output
    #expect(!imported.contains("ferry"))
  }

  @Test("a file moves: content, mode, equal digests, and nothing is left over")
  func moves() throws {
    #expect(try call(.source, .check)["bytes"]?.int == 13)
    #expect(try call(.destination, .prepare) == ["target": "private"])
    try pass(.first)
    try bench.folder.write("a/settings", "hello again\n")
    try pass(.final)
    #expect(!Files.exists(target))
    let listing = bench.folder("listing")
    let sent = try call(.source, .digest, ["algorithm": "xxh3-128", "listing": .string(listing)])
    #expect(try call(.destination, .digest, ["target": "staged"]) == sent)
    #expect(try bench.folder.read("listing") == "\(sent["root"]?.string ?? "")\tfile\n")
    for _ in 1...2 { _ = try call(.destination, .activate) }
    #expect(try content() == "hello again\n")
    var status = stat()
    #expect(stat(target, &status) == 0 && status.st_mode & 0o7777 == 0o640)
    #expect(try call(.destination, .digest, ["target": "active"]) == sent)
    for side in [Side.source, .destination] { for _ in 1...2 { _ = try call(side, .release) } }
    #expect(names() == ["settings"])
    for _ in 1...2 { _ = try call(.source, .retire) }
    #expect(!Files.exists(source))
  }

  @Test("deactivate puts back what was there before, twice, and activate may follow")
  func undo() throws {
    try bench.folder.write("b/settings", "the old one\n")
    try pass([.first, .final])
    _ = try call(.destination, .deactivate)
    #expect(try content() == "the old one\n")
    for _ in 1...2 {
      _ = try call(.destination, .activate)
      #expect(try content() == "hello, ferry\n")
      for _ in 1...2 { _ = try call(.destination, .deactivate) }
      #expect(try content() == "the old one\n")
    }
    for _ in 1...2 { _ = try call(.destination, .discard) }
    #expect(names() == ["settings"])
    #expect(try content() == "the old one\n")
  }

  @Test("deactivate leaves no target where there was none")
  func undoOfNothing() throws {
    try pass([.first, .final])
    _ = try call(.destination, .activate)
    for _ in 1...2 { _ = try call(.destination, .deactivate) }
    #expect(!Files.exists(target))
    _ = try call(.destination, .discard)
    #expect(names() == [])
  }

  @Test("what cannot work is said before anything is touched")
  func refusals() throws {
    #expect(failure { _ = try call(.destination, .activate) }?.class == .precondition)
    #expect(failure { _ = try call(.source, .digest, ["algorithm": "sha256"]) }?.class == .unsupported)
    try Files.makeFolder(target)
    #expect(failure { _ = try call(.destination, .check) }?.class == .conflict)
    try Files.remove(source)
    #expect(failure { _ = try call(.source, .check) }?.class == .notFound)
    let file = try bench.pluginFile(Self.built.get())
    for path in ["", "relative", "/folder/"] {
      #expect(failure { _ = try bench.start(file, "example-file", .source, ["file": .string(path)]) }?.class == .invalid)
    }
  }

  @Test("a peer that goes away is an error of the pass, and the staged file stays whole")
  func brokenChannel() throws {
    try pass(.first)
    let (left, right) = try Descriptor.socketPair()
    left.close()
    try at(.destination) { host in
      #expect(failure { _ = try host.call(.receive, channels: [right]) }?.class == .peer)
      let digest = try host.call(.digest)
      #expect(digest["bytes"]?.int == 13)
    }
  }

  @Test("cancel ends a pass that waits for its channel")
  func cancel() throws {
    let (left, right) = try Descriptor.socketPair()
    try at(.destination) { host in
      let result = Lock<FerryError?>(nil)
      let done = Signal()
      Threads.detach {
        let error = failure { _ = try host.call(.receive, channels: [right]) }
        result.withLock { $0 = error }
        done.raise()
      }
      try waitFor("the pass to end") {
        host.cancel()
        return done.wait(atMost: .milliseconds(20))
      }
      #expect(result.withLock { $0 }?.class == .cancelled)
    }
    left.close()
  }
}
