@testable import Ferry
import FerrySystem
import Glibc
import Testing
import RunSupport
import TestSupport

/// Messages as a hostile or broken controller might send them, from a seed, so that a failure can be repeated.
@Suite("An agent survives what it is sent") struct ProtocolFuzzTests {
  private struct Generator: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
      return mixed ^ (mixed >> 31)
    }
  }

  /// Well-formed requests to begin with: what a real controller sends, in an order of its own.
  private func seeds(_ world: World) throws -> [String] {
    let open = try JSONValue(encoding: world.manifest().openRequest(run: "fuzz", side: .source, epoch: 1))
    let call: JSONValue = [
      "item": "ledger", "call": "check", "pass": 0, "first": true, "final": false, "full": false, "arguments": [:], "keepListing": false,
    ]
    let parameters: [(String, JSONValue)] =
      [
        ("hello", [:]), ("open", open), ("call", call), ("listen", ["channel": "c"]),
        ("connect", ["channel": "c", "address": ["folder": "../..", "token": "x"]]),
      ]
      + AgentMethod.allCases.map { ($0.rawValue, [:]) }
    return parameters.enumerated().map { index, request in
      JSONValue.object(["jsonrpc": "2.0", "id": .int(Int64(index)), "method": .string(request.0), "params": request.1]).text
    }
  }

  private func mutated(_ text: String, _ generator: inout Generator) -> [UInt8] {
    var bytes = Array(text.utf8)
    for _ in 0..<Int.random(in: 0...4, using: &generator) {
      let place = Int.random(in: 0..<bytes.count, using: &generator)
      switch Int.random(in: 0..<6, using: &generator) {
      case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
      case 1: bytes.removeSubrange(place..<min(place + 8, bytes.count))
      case 2: bytes.insert(contentsOf: bytes[place..<min(place + 16, bytes.count)], at: place)
      case 3: bytes.insert(contentsOf: Array("[[[[{{{{\"\\u0000\"".utf8), at: place)
      case 4: bytes.insert(contentsOf: Array("-1e999".utf8), at: place)
      default: bytes.insert(contentsOf: Array("../../../".utf8), at: place)
      }
      if bytes.isEmpty { bytes = [32] }
    }
    return bytes + [10]
  }

  @Test(
    "mutated messages are answered or end the connection; the agent never crashes and leaves its home alone",
    arguments: 1...12 as ClosedRange<UInt64>)
  func fuzz(seed: UInt64) async throws {
    try await Threads.run {
      let world = try World()
      let seeds = try seeds(world)
      var generator = Generator(state: seed)
      let before = Set(Files.names(in: world.folder.path))
      for _ in 0..<8 {
        let session = (0..<40).flatMap { _ in mutated(seeds[Int.random(in: 0..<seeds.count, using: &generator)], &generator) }
        var agent = Command(
          [Products.ferry, "agent", "--home", world.folder("a/home"), "--plugins", world.folder("plugins")], timeout: .seconds(120))
        agent.input = .bytes(session)
        let outcome = try agent.run()
        #expect(outcome.code == 0 && !outcome.timedOut, "seed \(seed): \(outcome.reason)")
      }
      #expect(Set(Files.names(in: world.folder.path)) == before)
      #expect(Set(Files.names(in: world.folder("a"))).isSubset(of: ["home", "held", "ledger", "serving"]))
    }
  }
}
