import FerryEngine
import FerrySystem
import Glibc
import TestSupport
import Testing

/// Engines that the tests of this module share; each test names its volumes and containers for itself.
enum Engines {
  static let docker = Result { try TestEngine(.docker) }
  static let podman = Result { try TestEngine(.podman) }
  static func the(_ kind: TestEngine.Kind) throws -> TestEngine { try kind == .docker ? docker.get() : podman.get() }

  static func client(_ kind: TestEngine.Kind, cancellation: Cancellation? = nil) throws -> ContainerEngine {
    let engine = try the(kind)
    return try ContainerEngine(kind == .docker ? .docker : .podman, at: engine.address, folder: engine.folder.path) { cancellation }
  }

  /// A name that no other test uses.
  static func name(_ word: String) -> String { "\(word)-\(UInt32.random(in: 0 ... .max))" }
}

@Suite("The client of the engines' sockets", .enabled(if: TestEngine.available)) struct ClientTests {
  @Test("an engine says what it is, and a volume comes out as it was made", arguments: TestEngine.Kind.allCases)
  func volumes(_ kind: TestEngine.Kind) throws {
    let client = try Engines.client(kind)
    #expect(client.info.version.first?.isNumber == true && !client.info.isRootless && client.sharesFiles)
    let name = Engines.name("volume")
    #expect(try client.volume(name) == nil)
    for _ in 0..<2 { try client.create(EngineVolume(name: name, labels: ["app": name, "with space": "a=b,c"])) }
    let made = try #require(try client.volume(name))
    #expect(made.labels == ["app": name, "with space": "a=b,c"])
    #expect(made.driver == "local" && made.storedElsewhere == nil && !made.isAnonymous)
    #expect(made.mountpoint == (try Engines.the(kind).mountpoint(name)))
    #expect(try client.volumes(label: "app=\(name)") == [made])
    #expect(try client.volumes(label: "app=other").isEmpty)
    #expect(try client.volumes().contains(made))
    for _ in 0..<2 { try client.removeVolume(name) }
    #expect(try client.volume(name) == nil)
  }

  @Test("an engine's refusal comes with its own words and a class", arguments: TestEngine.Kind.allCases)
  func refusals(_ kind: TestEngine.Kind) throws {
    let client = try Engines.client(kind)
    let bad = error { try client.create(EngineVolume(name: "a b/c")) }
    #expect(bad?.message.contains("the engine refused POST volumes/create:") == true && bad?.message.contains("a-zA-Z0-9") == true)
    #expect(try client.container("no such thing") == nil)
    #expect(error { try client.changes(of: "nobody") }?.class == .notFound)
    let (name, user) = (Engines.name("used"), Engines.name("user"))
    try client.create(EngineVolume(name: name))
    try Engines.the(kind).run("create", "--name", user, "--network", "none", "--volume", "\(name):/data", "box", "/bin/sh")
    #expect(error { try client.removeVolume(name) }?.class == .conflict)
    #expect(try client.container(user)?.mounts.first?.name == name)
    for _ in 0..<2 { try client.removeContainer(user) }
    try client.removeVolume(name)
  }

  @Test("a container's files come and go as tar streams, running or not, with no program in it", arguments: TestEngine.Kind.allCases)
  func archives(_ kind: TestEngine.Kind) throws {
    let client = try Engines.client(kind)
    let name = Engines.name("box")
    try Engines.the(kind).run("create", "--name", name, "--network", "none", "box", "/bin/nothing")
    let folder = try TemporaryFolder()
    try folder.write("in/hello", "hello\n")
    _ = try Command(["tar", "-C", folder("in"), "-cf", folder("in.tar"), "hello"]).run()
    let input = try Descriptor.open(folder("in.tar"), O_RDONLY)
    try client.unpack(name, path: "/tmp", from: input.number)
    let output = try Descriptor.open(folder("out.tar"), O_WRONLY | O_CREAT)
    try client.archive(name, path: "/tmp/hello", to: output.number)
    #expect(try Command(["tar", "-xOf", folder("out.tar"), "hello"]).run().output == "hello\n")
    #expect(try client.changes(of: name).contains(EngineChange(path: "/tmp/hello", kind: 1)))
    let all = try Descriptor.open(folder("all.tar"), O_WRONLY | O_CREAT)
    try client.export(name, to: all.number)
    #expect(try Command(["tar", "-tf", folder("all.tar")]).run().output.contains("tmp/hello\n"))
    #expect(error { try client.archive(name, path: "/nowhere", to: all.number) }?.class == .notFound)
    try client.removeContainer(name)
  }

  @Test("a stream that nobody reads ends when it is cancelled", arguments: TestEngine.Kind.allCases)
  func cancels(_ kind: TestEngine.Kind) throws {
    let cancellation = Cancellation()
    let client = try Engines.client(kind, cancellation: cancellation)
    let name = Engines.name("box")
    try Engines.the(kind).run("create", "--name", name, "--network", "none", "box", "/bin/nothing")
    let pipe = try Descriptor.pipe()
    // Some room is left, less than what the engine sends at a time.
    try pipe.write.write([UInt8](repeating: 0, count: (1 << 16) - 4096))
    let outcome = Lock<FerryError?>(nil)
    let over = Signal()
    Threads.detach {
      let failure = error { try client.export(name, to: pipe.write.number) }
      outcome.withLock { $0 = failure }
      over.raise()
    }
    // Full is without a page that is free: of the last one the engine may have used only a part.
    try waitFor("the pipe to be full") {
      var room = pollfd(fd: pipe.write.number, events: Int16(POLLOUT), revents: 0)
      return poll(&room, 1, 0) == 0
    }
    cancellation.cancel()
    #expect(over.wait(atMost: .seconds(60)))
    #expect(outcome.withLock { $0 }?.class == .cancelled)
    try Engines.client(kind).removeContainer(name)
  }

  @Test("an engine that is restarted is waited for, one that is gone is an error that says where it was looked for")
  func restarts() throws {
    let engine = try TestEngine(.docker, driver: "vfs")
    let client = try ContainerEngine(.docker, at: engine.address, folder: engine.folder.path)
    try client.create(EngineVolume(name: "stays"))
    engine.stop()
    Threads.detach { try? engine.start() }
    #expect(try client.volume("stays") != nil)
    engine.stop()
    client.client.patience = .milliseconds(1)
    let gone = error { try client.volumes() }
    #expect(gone?.class == .retry && gone?.message.contains(engine.address) == true)
    #expect(error { try ContainerEngine(.docker, at: engine.address, folder: engine.folder.path) }?.class == .precondition)
    try engine.start()
  }

  @Test(
    "what speaks no HTTP, or ends in the middle, is an error and no answer",
    arguments: ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ServerVersion\""])
  func liars(_ answer: String) throws {
    let folder = try TemporaryFolder()
    let server = try Descriptor(listening(folder("s")))
    Threads.detach {
      while case let connection = accept(server.number, nil, nil), connection >= 0 {
        var heard = [UInt8](repeating: 0, count: 4096)
        _ = read(connection, &heard, heard.count)
        _ = Array(answer.utf8).withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        close(connection)
      }
    }
    let failure = error { _ = try ContainerEngine(.docker, at: "unix://\(folder("s"))", folder: folder.path) }
    #expect(failure != nil && failure?.class != .internal, "\(failure?.description ?? "")")
    shutdown(server.number, Int32(SHUT_RDWR))
  }

  @Test(
    "addresses that are none are told apart",
    arguments: ["", "ssh://host", "unix://relative", "tcp://", "tcp://a/b", "tcp://user@host", "http://x"])
  func addresses(_ text: String) {
    #expect([.invalid, .unsupported].contains(error { _ = try EngineAddress(text) }?.class))
  }

  @Test("content that is stored elsewhere is known by driver, options and scope")
  func elsewhere() {
    func volume(_ options: [String: String], driver: String = "local", scope: String = "local") -> String? {
      EngineVolume(name: "v", driver: driver, options: options, scope: scope).storedElsewhere
    }
    #expect(volume([:]) == nil)
    #expect(volume(["o": "size=10m,uid=5"]) == nil)
    #expect(volume(["type": "nfs", "o": "addr=10.0.0.1", "device": ":/export"]) == "it is mounted from :/export")
    #expect(volume(["type": "cifs", "device": "//server/share"]) != nil)
    #expect(volume(["type": "none", "o": "bind", "device": "/srv/data"]) == "it is the folder /srv/data")
    #expect(volume(["o": "rw,bind", "device": "/srv"]) != nil)
    #expect(volume(["type": "tmpfs", "device": "tmpfs"]) != nil)
    #expect(volume(["device": "/dev/sdb1", "type": "ext4"]) != nil)
    #expect(volume([:], driver: "rexray") != nil)
    #expect(volume([:], scope: "global") != nil)
  }
}

/// The error that a piece of work throws, or nil.
func error<Value>(_ work: () throws -> Value) -> FerryError? {
  do { _ = try work() } catch { return FerryError.wrap(error) }
  return nil
}

/// A listening unix socket.
private func listening(_ path: String) throws -> Int32 {
  let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
  let failed = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
  }
  guard failed == 0, listen(number, 4) == 0 else { throw FerryError(errno: errno, "cannot listen on \(path)") }
  return number
}
