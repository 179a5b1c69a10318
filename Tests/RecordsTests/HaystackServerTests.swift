import FerryRecords
import FerrySystem
import Glibc
import Haystack
import TestSupport
import Testing

/// A Python program of this folder, with its standard streams.
private final class Script {
  private let process: ChildProcess
  private let input: Descriptor
  private let output: Descriptor

  init(_ python: String, _ arguments: [String]) throws {
    let (read, write) = try Descriptor.pipe()
    let (mine, theirs) = try Descriptor.pipe()
    process = try ChildProcess.spawn(
      [python, "\(Products.repository)/Tests/RecordsTests/\(arguments[0])"] + arguments.dropFirst(),
      descriptors: [0: mine.number, 1: write.number, 2: 2])
    (input, output) = (theirs, read)
  }

  func line() throws -> String {
    var bytes: [UInt8] = []
    while let byte = try output.read(upTo: 1).first, byte != 10 { bytes.append(byte) }
    return String(decoding: bytes, as: UTF8.self)
  }

  func tell(_ text: String) throws -> String {
    try input.write(Array("\(text)\n".utf8))
    return try line()
  }

  deinit {
    kill(process.pid, SIGKILL)
    process.wait()
  }
}

@Suite struct HaystackServerTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A port that was free a moment ago.
  private func freePort() throws -> Int {
    let socket = Descriptor(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket.number, $0, length)
        getsockname(socket.number, $0, &length)
      }
    }
    return Int(UInt16(bigEndian: address.sin_port))
  }

  @Test(
    "the records of a server of others are cloned after a login, and followed; a wrong password is told from a server that is not there")
  func others() throws {
    let setup = try Command(["\(Products.repository)/Scripts/haystack-venv"], timeout: .seconds(300)).run()
    guard setup.succeeded else { throw FerryError(.internal, "Scripts/haystack-venv: \(setup.reason)") }
    let port = try freePort()
    let server = try Script(String(setup.output.prefix { $0 != "\n" }), ["server.py", String(port), "300"])
    #expect(try server.line() == "ready")
    let url = "http://127.0.0.1:\(port)/api"
    let client = HaystackClient(url, user: "admin", password: Array("a word".utf8))
    try waitFor("the server") {
      do { return try !client.about().tags.isEmpty } catch let error as FerryError where error.class == .retry { return false }
    }
    let mirror = try Mirror(folder("mirror.db"))
    #expect(try mirror.refresh(HaystackQuery(client, filter: "site and area < 200ft²")).changed == 200)
    #expect(try mirror.store.read("s7")?.tree["dis"] == .string("Site 7"))
    // What did not change is not new, though this server gives no `mod`.
    #expect(try mirror.refresh(HaystackQuery(client, filter: "site and area < 200ft²")).changed == 0)
    #expect(try server.tell("s7 Changed") == "done")
    #expect(try server.tell("s8") == "done")
    let report = try mirror.refresh(HaystackQuery(client, filter: "site and area < 200ft²"))
    #expect(report == .init(read: 199, changed: 1, removed: 1))
    #expect(try mirror.store.read("s7")?.tree["dis"] == .string("Changed"))
    let wrong = #expect(throws: FerryError.self) { try HaystackClient(url, user: "admin", password: Array("other".utf8)).about() }
    #expect(wrong?.class == .auth && wrong?.message.contains("other") == false)
    let stranger = #expect(throws: FerryError.self) { try HaystackClient(url, user: nil, password: []).about() }
    #expect(stranger?.class == .auth)
    let nobody = #expect(throws: FerryError.self) { try HaystackClient("http://127.0.0.1:1/api", user: nil, password: []).about() }
    #expect(nobody?.class == .retry)
  }

  @Test("a server that answers badly removes nothing")
  func badAnswers() throws {
    let script = try Script("/usr/bin/python3", ["bad.py"])
    let base = "http://127.0.0.1:\(try script.line())"
    let mirror = try Mirror(folder("mirror.db"))
    func read(_ way: String) throws -> Mirror.Report {
      try mirror.refresh(HaystackQuery(HaystackClient("\(base)/\(way)", user: nil, password: []), filter: "site"))
    }
    #expect(try read("whole").read == 50)
    for (way, reason) in [
      ("err", "the server says: no such filter"), ("incomplete", "incomplete"), ("half", ""), ("cut", "did not answer to the end"),
      ("kinds", "without an id"), ("twice", "two records"), ("nothing", "expected"), ("html", "expected"), ("large", "longer than"),
      ("status", "answered 500"),
    ] {
      let error = #expect(throws: FerryError.self, "\(way)") { try read(way) }
      #expect(error?.message.contains(reason) == true, "\(way): \(error?.message ?? "")")
      #expect(try mirror.store.count() == 50, "\(way)")
    }
    #expect(try read("whole") == .init(read: 50, changed: 0, removed: 0))
  }
}
