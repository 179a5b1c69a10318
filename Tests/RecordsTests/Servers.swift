import FerryRecords
import FerrySystem
import Glibc
import TestSupport

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
    let script = try Script("RecordsTests/server.py", python: Script.haystackPython(), [String(port), String(count)])
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
