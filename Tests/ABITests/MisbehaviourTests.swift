import Ferry
import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("A plugin that misbehaves")
struct MisbehaviourTests {
  @Test(
    "a plugin that ends its process fails its call with an error that names it and how it ended",
    arguments: [
      ("segfault", "SIGSEGV"), ("abort", "SIGABRT"), ("exit", "exit code 0"), ("kill", "SIGKILL"),
    ])
  func crash(act: String, ending: String) throws {
    let bench = try Bench()
    let host = try bench.start(act)
    defer { host.end() }
    let error = try #require(failure { _ = try host.call(.transfer) })
    #expect(error.class == .internal)
    for word in [try Misbehaving.plain.get(), "'pages'", "source", "transfer", ending] { #expect(error.message.contains(word)) }
    #expect(!host.isAlive)
    #expect(failure { _ = try host.call(.check) }?.message.contains(ending) == true)
  }

  @Test("the last words of a plugin are in the error")
  func lastWords() throws {
    let host = try Bench().start("abort")
    defer { host.end() }
    let error = try #require(failure { _ = try host.call(.transfer) })
    #expect(error.message.hasSuffix("it last said: famous last words"))
  }

  @Test("a C++ exception that leaves a call ends the host, not the node")
  func exception() throws {
    let bench = try Bench()
    let host = try bench.start("throw", plugin: try Misbehaving.build(in: .success(bench.folder), "throwing.so", ["c++"]))
    defer { host.end() }
    let error = try #require(failure { _ = try host.call(.transfer) })
    #expect(error.message.contains("SIGABRT"))
  }

  @Test("a plugin that crashes while it is set up is named")
  func crashInCreate() throws {
    let error = try #require(failure { _ = try Bench().start("crash-create") })
    #expect(error.message.contains("create") && error.message.contains("SIGABRT"))
  }

  @Test("an error of create is the provider's own")
  func failedCreate() throws {
    let error = failure { _ = try Bench().start("no-create") }
    #expect(error == FerryError(.notFound, "the state cannot be found", hint: "look elsewhere"))
  }

  @Test("a call that hangs is ended after the stall time")
  func hang() throws {
    let host = try Bench().start("hang", stall: .seconds(1))
    defer { host.end() }
    let error = try #require(failure { _ = try host.call(.transfer) })
    #expect(error.class == .peer)
    #expect(error.message.contains("neither reported progress nor returned"))
    #expect(!host.isAlive)
  }

  @Test("a call that reports progress may take longer than the stall time")
  func progress() throws {
    let bench = try Bench()
    let host = try bench.start("steady", stall: .milliseconds(1500))
    defer { host.end() }
    #expect(failure { _ = try host.call(.transfer) } == nil)
    #expect(bench.reports.withLock { $0.last?.bytes } == 29)
  }

  @Test("a flood of the log is cut and counted")
  func flood() throws {
    let bench = try Bench()
    let host = try bench.start("flood")
    _ = try host.call(.transfer)
    host.end()
    #expect(bench.log.contains("lines of the log were dropped"))
    #expect(bench.lines.withLock { $0.count } < 20000)
  }

  @Test("a long line of the log is cut")
  func longLine() throws {
    let bench = try Bench()
    let host = try bench.start("long-line")
    _ = try host.call(.transfer)
    host.end()
    #expect(bench.log.contains("(99999 bytes)"))
    #expect(bench.log.utf8.count < 10000)
  }

  @Test("garbage on descriptor 3 reaches nobody")
  func scribbleOnControl() throws {
    let host = try Bench().start("scribble-3")
    defer { host.end() }
    #expect(failure { _ = try host.call(.transfer) } == nil)
    #expect(failure { _ = try host.call(.check) } == nil)
  }

  @Test("garbage on the control socket is an error that quotes it")
  func scribble() throws {
    let host = try Bench().start("scribble-all")
    defer { host.end() }
    let error = try #require(failure { _ = try host.call(.transfer) })
    #expect(error.class == .internal)
    #expect(error.message.contains("odd.so") && error.message.contains("garbage"))
  }

  @Test("a plugin that closes what it does not own fails its call")
  func closeAll() throws {
    let host = try Bench().start("close-all", stall: .seconds(2))
    defer { host.end() }
    #expect(failure { _ = try host.call(.transfer) }?.message.contains("odd.so") == true)
  }

  @Test(
    "a bad reply is an error that names provider, call and fault",
    arguments: [("bad-json", "not JSON"), ("no-object", "not a JSON object"), ("negative", "'bytes' is negative")])
  func badReply(act: String, fault: String) throws {
    let host = try Bench().start(act)
    defer { host.end() }
    let error = try #require(failure { _ = try host.call(.transfer) })
    #expect(error.class == .internal)
    for word in ["'odd'", "transfer", fault] { #expect(error.message.contains(word)) }
    #expect(host.isAlive)
  }

  @Test("a reply without a required key is an error")
  func missingKeys() throws {
    let host = try Bench().start("nothing", side: .destination)
    defer { host.end() }
    #expect(failure { _ = try host.call(.prepare) }?.message.contains("'target' is missing") == true)
    #expect(failure { _ = try host.call(.digest) }?.message.contains("missing") == true)
  }

  @Test("a status that the ABI does not know, and an error without words, say so")
  func oddStatus() throws {
    let odd = try Bench().start("status")
    defer { odd.end() }
    #expect(failure { _ = try odd.call(.transfer) }?.message.contains("99") == true)
    let silent = try Bench().start("silent")
    defer { silent.end() }
    let error = try #require(failure { _ = try silent.call(.transfer) })
    #expect(error.class == .io)
    #expect(error.message.contains("did not say why"))
  }

  @Test("an error of a call keeps its class, message and hint, and the host goes on")
  func plainFailure() throws {
    let host = try Bench().start("fail")
    defer { host.end() }
    #expect(failure { _ = try host.call(.transfer) } == FerryError(.precondition, "the disk is gone", hint: "plug it in again"))
    #expect(failure { _ = try host.call(.check) } == nil)
  }

  @Test("a process that a dead plugin left behind is found by its session and ended")
  func orphan() throws {
    let bench = try Bench()
    let host = try bench.start("orphan")
    _ = failure { _ = try host.call(.transfer) }
    host.end()
    let pid = try #require(Int32(try bench.folder.read("host-source/kv/orphan=value")))
    try waitFor("the orphan to be gone") { ProcessIdentity(pid: pid) == nil }
  }
}
