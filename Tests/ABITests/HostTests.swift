import Ferry
import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("A plugin host")
struct HostTests {
  @Test("channels arrive as descriptors, with the pass and its flags")
  func channels() throws {
    let host = try Bench().start("echo")
    defer { host.end() }
    let (first, firstPeer) = try Descriptor.socketPair()
    let (second, secondPeer) = try Descriptor.socketPair()
    try first.write(Array("hello".utf8))
    let reply = try host.call(.transfer, pass: 4, flags: [.first, .final], channels: [firstPeer, secondPeer])
    #expect(reply["bytes"]?.int == 43)
    #expect(try second.read(upTo: 100) == Array("hello".utf8))
    firstPeer.close()
    secondPeer.close()
    #expect(try second.read(upTo: 100).isEmpty, "the host closes its duplicates after the call")
  }

  @Test("memory outlives its host and belongs to one side")
  func memory() throws {
    let bench = try Bench()
    func run(_ act: String, _ key: String, size: Int = 0, side: Side = .source) throws -> FerryError? {
      let host = try bench.start(act, ["key": .string(key), "size": .string("\(size)")], side: side)
      defer { host.end() }
      return failure { _ = try host.call(.transfer) }
    }
    #expect(try run("put", "a.b_c-1", size: 10) == nil)
    #expect(try run("get", "a.b_c-1") == nil)
    #expect(try run("get", "a.b_c-1", side: .destination)?.class == .notFound)
    #expect(try run("put", "full", size: 1 << 20) == nil)
    #expect(try run("put", "full", size: (1 << 20) + 1)?.class == .invalid)
    for key in ["", ".hidden", "UPPER", "a/b", "../a", String(repeating: "k", count: 65)] {
      #expect(try run("put", key, size: 1)?.class == .invalid)
    }
    #expect(try run("remove", "a.b_c-1") == nil)
    #expect(try run("remove", "a.b_c-1") == nil)
    #expect(try run("get", "a.b_c-1")?.class == .notFound)
  }

  @Test("a secret reaches the secret service, and neither arguments, environment, log nor error")
  func secrets() throws {
    let bench = try Bench()
    let secret = "correct horse battery"
    let host = try bench.start("secret", ["key": "password"], secrets: ["password": Array(secret.utf8)])
    let pid = host.identity.pid
    for file in ["cmdline", "environ"] {
      #expect(!String(decoding: try Files.read("/proc/\(pid)/\(file)"), as: UTF8.self).contains(secret))
    }
    let error = try #require(failure { _ = try host.call(.transfer) })
    host.end()
    #expect(error.class == .auth, "the provider got the right value")
    #expect(!error.description.contains(secret) && !bench.log.contains(secret))
    #expect(bench.log.contains("leaks •••"))
    let stored = try Command(["grep", "-r", secret, bench.folder.path]).run()
    #expect(stored.code == 1)
    let unknown = try bench.start("secret", ["key": "other"], secrets: ["password": Array(secret.utf8)])
    defer { unknown.end() }
    #expect(failure { _ = try unknown.call(.transfer) }?.class == .notFound)
  }

  @Test("the process service runs a program, logs it and gives its exit code and errors")
  func process() throws {
    let bench = try Bench()
    let host = try bench.start("run")
    #expect(try host.call(.transfer)["bytes"]?.int == 7)
    host.end()
    #expect(bench.log.contains("info: out") && bench.log.contains("info: err"))
  }

  @Test("the temporary folder lies in the host's folder and is for this user alone")
  func temporary() throws {
    let bench = try Bench()
    let host = try bench.start("tmp")
    _ = try host.call(.transfer)
    host.end()
    #expect(Files.exists(bench.folder("host-source/tmp/file")))
    var status = stat()
    #expect(stat(bench.folder("host-source/tmp"), &status) == 0 && status.st_mode & 0o777 == 0o700)
  }

  @Test("cancel reaches the running call and the host goes on")
  func cancel() throws {
    let bench = try Bench()
    let host = try bench.start("wait")
    defer { host.end() }
    let result = Lock<FerryError?>(nil)
    let done = Signal()
    Threads.detach {
      let error = failure { _ = try host.call(.transfer) }
      result.withLock { $0 = error }
      done.raise()
    }
    // Cancelled before the plugin has it, the call would not reach the plugin.
    try waitFor("the call to begin") { Files.exists(bench.folder("host-source/tmp/waits")) }
    try waitFor("the call to end") {
      host.cancel()
      return done.wait(atMost: .milliseconds(20))
    }
    #expect(result.withLock { $0 } == FerryError(.cancelled, "the wait was cancelled"))
    #expect(failure { _ = try host.call(.check) } == nil)
  }

  @Test("cancel ends the commands of a provider, and one without cancel with its process", arguments: ["run-long", "hang"])
  func cancelByForce(act: String) throws {
    let bench = try Bench()
    let host = try bench.start(act, plugin: try Misbehaving.build(in: .success(bench.folder), "stubborn.so", ["-DNO_CANCEL"]))
    defer { host.end() }
    let result = Lock<FerryError?>(nil)
    let done = Signal()
    Threads.detach {
      let error = failure { _ = try host.call(.transfer) }
      result.withLock { $0 = error }
      done.raise()
    }
    try waitFor("the call to end") {
      host.cancel()
      return done.wait(atMost: .milliseconds(20))
    }
    #expect(result.withLock { $0 }?.class == .cancelled)
  }

  @Test("ending a host in the middle of a call ends both")
  func endInCall() throws {
    let host = try Bench().start("hang")
    let done = Signal()
    let result = Lock<FerryError?>(nil)
    Threads.detach {
      let error = failure { _ = try host.call(.transfer) }
      result.withLock { $0 = error }
      done.raise()
    }
    host.end()
    #expect(done.wait(atMost: .seconds(60)))
    #expect(result.withLock { $0 } != nil)
    #expect(!host.isAlive && !host.identity.isAlive)
    host.end()
  }

  @Test("a host whose node is gone ends with all that it started, in the middle of a call")
  func orphanedHost() throws {
    let bench = try Bench()
    let (ours, control) = try Descriptor.socketPair()
    let null = try Descriptor.open("/dev/null", O_RDWR)
    let process = try ChildProcess.spawn(
      [Products.ferry, "host"], descriptors: [0: null.number, 1: null.number, 2: null.number, 3: control.number])
    control.close()
    let connection = RPCConnection(LineConnection(input: ours, output: ours), to: "the host")
    connection.start()
    let file = try JSONValue(encoding: bench.pluginFile(Misbehaving.plain.get()))
    let answer = try connection.call(
      "start",
      [
        "file": file, "provider": "odd", "side": "source", "run": "run1", "item": "pages", "folder": .string(bench.folder("h")),
        "config": ["endpoint": ["do": "linger"]], "secrets": [:],
      ])
    #expect(answer == ["reply": [:]])
    Threads.detach { _ = try? connection.call("call", ["number": 2, "call": "transfer", "pass": 0, "flags": 0, "arguments": [:]]) }
    try waitFor("the child of the plugin") { Files.exists(bench.folder("h/kv/orphan=value")) }
    let child = try #require(Int32(try bench.folder.read("h/kv/orphan=value")))
    connection.close()
    let ended = try process.exitDescriptor()
    var state = pollfd(fd: ended.number, events: Int16(POLLIN), revents: 0)
    #expect(poll(&state, 1, 60_000) == 1)
    #expect(process.wait() == 128 + SIGKILL)
    try waitFor("the child to be gone") { ProcessIdentity(pid: child) == nil }
  }

  @Test("a host loads no other bytes than it was told to")
  func digest() throws {
    let bench = try Bench()
    let path = try Misbehaving.plain.get()
    let error = failure { _ = try bench.start(PluginFile(path: path, sha256: "00"), "odd", .source, [:]) }
    #expect(error?.class == .precondition)
    #expect(error?.message.contains("has changed") == true)
  }

  @Test("a provider that the plugin does not have is not found")
  func unknownProvider() throws {
    #expect(failure { _ = try Bench().start("nothing", provider: "even") }?.class == .notFound)
  }

  @Test("ferry host started by a person says what it is")
  func byHand() throws {
    let outcome = try Command([Products.ferry, "host"]).run()
    #expect(outcome.code == 2)
    #expect(outcome.errors.contains("started by Ferry itself"))
  }
}
