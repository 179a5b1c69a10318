import FerryRecords
import FerrySystem
import Glibc
import TestSupport

/// A Python program of this folder, with its standard streams.
final class Script {
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

/// A Haystack server of others: rusty-haystack with so many sites, and the points h0 (Rome) and h1 (Oslo).
final class RustyServer {
  let url: String
  private let port: Int
  private let count: Int
  private var script: Script?

  init(_ count: Int) throws {
    self.count = count
    port = try Self.freePort()
    url = "http://127.0.0.1:\(port)/api"
    try start()
  }

  func client() -> HaystackClient { HaystackClient(url, user: "admin", password: Array("a word".utf8)) }

  /// As it was at first.
  func start() throws {
    let setup = try Command(["\(Products.repository)/Scripts/haystack-venv"], timeout: .seconds(300)).run()
    guard setup.succeeded else { throw FerryError(.internal, "Scripts/haystack-venv: \(setup.reason)") }
    let script = try Script(String(setup.output.prefix { $0 != "\n" }), ["server.py", String(port), String(count)])
    self.script = script
    guard try script.line() == "ready" else { throw FerryError(.internal, "the server did not start") }
    try waitFor("the server") {
      do { return try !client().about().tags.isEmpty } catch let error as FerryError where error.class == .retry { return false }
    }
  }

  func stop() { script = nil }

  func tell(_ text: String) throws {
    guard let script, try script.tell(text) == "done" else { throw FerryError(.internal, "the server did not do '\(text)'") }
  }

  /// A port that was free a moment ago.
  private static func freePort() throws -> Int {
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
}
