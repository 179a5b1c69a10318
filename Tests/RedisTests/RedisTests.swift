import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@testable import RedisKeysPlugin

@Suite(.enabled(if: !TestRedis.isMissing)) struct RedisTests {
  let from: TestRedis
  let to: TestRedis

  init() throws {
    from = try TestRedis()
    to = try TestRedis()
  }

  private func harness(_ keys: [String: JSONValue] = [:], to more: JSONValue = [:], same: Bool = false, secrets: [String: String] = [:])
    throws
    -> Harness
  {
    var end = more
    end["server"] = .string((same ? from : to).server)
    return try Harness(
      product: "redis-keys", provider: "redis-keys", folder: TemporaryFolder(), from: ["server": .string(from.server)], to: end,
      keys: keys.merging(["keys": ["*"]]) { own, _ in own }, secrets: secrets)
  }

  @Test("keys of every type arrive with their names' bytes and their expiry; the proof holds in every state of the run")
  func types() throws {
    try from.fill()
    try to.ask("SET", "other", "stays")
    let harness = try harness()
    #expect(try harness.call(.source, .check)["entries"] == 8)
    let digests = try harness.moveUntilVerified {
      try from.ask("SET", "text", "changed")
      try from.ask("DEL", "list")
      try from.ask("SADD", "new", "one")
    }
    #expect(digests.source == digests.destination)
    #expect(digests.source["entries"] == 8)
    #expect(try to.ask("EXISTS", "text") == "0")
    for _ in 0..<2 { try harness.call(.destination, .activate) }
    #expect(try harness.digest(.destination, full: true, target: "active") == digests.source)
    #expect(try to.ask("GET", "text") == "changed")
    #expect(try to.ask("PEXPIRETIME", "later") == from.ask("PEXPIRETIME", "later"))
    #expect(try to.ask("SCARD", "set") == "600")
    harness.killBoth()
    try harness.call(.destination, .release)
    let names = try Set(from.names())
    #expect(try Set(to.names()) == names.union(["other"]))
    #expect(try harness.digest(.destination, full: true, target: "active") == digests.source)
    try to.ask("RPUSH", "zlist", "x")
    try to.ask("HSET", "hash", "k", "other")
    #expect(try harness.digest(.destination, full: true, target: "active") != digests.source)
  }

  @Test("what was there before comes back, from any state, in a fresh process, twice; what was only received goes")
  func back() throws {
    try from.ask("SET", "a", "of the source")
    try from.ask("SET", "b", "of the source", "PX", "86400000")
    try to.ask("SET", "a", "precious")
    let before = try to.names()
    for isActive in [false, true] {
      let harness = try harness(["replace": true])
      _ = try harness.moveUntilVerified()
      if isActive {
        try harness.call(.destination, .activate)
        #expect(try to.ask("GET", "a") == "of the source")
      }
      for call in [ProviderCall.deactivate, .deactivate] {
        harness.killBoth()
        try harness.call(.destination, call)
        #expect(try to.ask("GET", "a") == "precious")
        #expect(try to.ask("EXISTS", "b") == "0")
      }
      if isActive {
        try harness.call(.destination, .activate)
        #expect(try to.ask("GET", "b") == "of the source")
      }
      for _ in 0..<2 {
        harness.killBoth()
        try harness.call(.destination, .discard)
        #expect(try to.names() == before)
        #expect(try to.ask("GET", "a") == "precious")
      }
    }
  }

  @Test("a received key that expires before it is named takes no key of the destination's own with it")
  func expired() throws {
    try from.ask("SET", "a", "short", "PX", "3000")
    try from.ask("SET", "b", "long")
    try to.ask("SET", "a", "precious")
    let harness = try harness(["replace": true])
    let digests = try harness.moveUntilVerified()
    #expect(digests.source == digests.destination)
    try waitFor("the key to expire") { try from.ask("EXISTS", "a") == "0" && to.ask("EXISTS", ".ferry-run1-state:new:a") == "0" }
    try harness.call(.destination, .activate)
    try harness.call(.destination, .discard)
    #expect(try to.ask("GET", "a") == "precious")
    #expect(try to.names() == ["a"])
  }

  @Test("patterns choose, names get another beginning, and then both ends may be one server")
  func renames() throws {
    try from.fill("module/wiki1/")
    try from.ask("SET", "module/other1/x", "not moved")
    try from.ask("SET", "exact", "moved")
    let keys: JSONValue = ["module/wiki1/*", "exact", "not there"]
    let harness = try harness(
      ["keys": keys], to: ["renames": [["from": "module/wiki1/", "to": "module/wiki2/"], ["from": "e", "to": "E"]]], same: true)
    let digests = try harness.moveUntilVerified()
    #expect(digests.source == digests.destination)
    try harness.call(.destination, .activate)
    for call in [(Side.destination, ProviderCall.release), (.source, .retire), (.source, .retire)] { try harness.call(call.0, call.1) }
    #expect(try from.ask("HGET", "module/wiki2/hash", "k") == "v")
    #expect(try from.names().filter { !$0.hasPrefix("module/wiki2/") && $0.hasPrefix("module") } == ["module/other1/x"])
    #expect(try from.ask("GET", "Exact") == "moved")
    #expect(try from.ask("EXISTS", "exact") == "0")
  }

  @Test("what would be lost is refused: a name that is taken, one database onto itself, two keys of one name, no key at all")
  func refused() throws {
    #expect(try harness().call(.source, .check)["notices"]?.array?.first?["text"]?.string?.contains("no key") == true)
    try from.ask("MSET", "a", "1", "ab", "2")
    try to.ask("SET", "a", "precious")
    #expect(failure { _ = try harness().moveUntilVerified() }?.class == .conflict)
    #expect(failure { _ = try harness(same: true).moveUntilVerified() }?.class == .precondition)
    let renames: JSONValue = ["renames": [["from": "ab", "to": "a"]]]
    #expect(failure { _ = try harness(["replace": true], to: renames).moveUntilVerified() }?.class == .invalid)
    #expect(try to.ask("GET", "a") == "precious")
  }

  @Test("a password is read from the secrets, and stands in no error and no log")
  func passwords() throws {
    let shut = try TestRedis(password: "hard to guess")
    try shut.ask("SET", "a", "1")
    func harness(_ secrets: [String: String]) throws -> Harness {
      try Harness(
        product: "redis-keys", provider: "redis-keys", folder: TemporaryFolder(), from: ["server": .string(shut.server)],
        to: ["server": .string(to.server)], keys: ["keys": ["a"]], secrets: secrets)
    }
    let right = try harness(["from-password": "hard to guess"])
    let digests = try right.moveUntilVerified()
    #expect(digests.source == digests.destination)
    #expect(!right.log.contains("hard to guess"))
    for secrets in [["from-password": "wrong word"], [:]] {
      let report = try harness(secrets).call(.source, .check).text
      #expect(report.contains("refuses") && !report.contains("wrong word"), "\(report)")
    }
  }

  @Test(
    "over TCP a user of an ACL with the least rights is enough; names and values of any bytes and every expiry arrive as over the socket")
  func network() throws {
    let rights = "~* resetchannels -@all +@read +@write +@scripting +@connection +info +time +dump +restore -@admin"
    let settings = "user mover on >word-of-the-mover \(rights)"
    let (a, b) = (
      try TestRedis(password: "of the owner", settings: settings), try TestRedis(password: "of the owner", settings: settings)
    )
    try a.fill()
    let (from, to) = (try a.listen(), try b.listen())
    func harness(_ password: String, user: String = "mover") throws -> Harness {
      try Harness(
        product: "redis-keys", provider: "redis-keys", folder: TemporaryFolder(), from: ["server": .string(from), "user": .string(user)],
        to: ["server": .string(to), "user": .string(user)], keys: ["keys": ["t*", "odd*", "[l-z]*", "hash"]],
        secrets: ["password": password])
    }
    let right = try harness("word-of-the-mover")
    for side in Side.allCases { #expect(try right.call(side, .check)["notices"]?.array?.isEmpty != false) }
    let digests = try right.moveUntilVerified()
    #expect(digests.source == digests.destination)
    try right.call(.destination, .activate)
    for side in Side.allCases { try right.call(side, .release) }
    #expect(try b.describe() == a.describe())
    #expect(try b.describe().count == 8)
    for (password, user) in [("wrong word", "mover"), ("word-of-the-mover", "nobody")] {
      let report = try refusal(harness(password, user: user))
      #expect(report.contains("refuses AUTH") && !report.contains(password), "\(report)")
    }
    #expect(!right.log.contains("word-of-the-mover"))
  }

  private func refusal(_ harness: Harness) throws -> String { try harness.call(.source, .check).text }

  @Test("the README has every key of the schema, and no other")
  func documents() throws {
    let schema = try JSONValue(parsing: RedisKeysConfig.schema)
    let top = Set(schema["properties"]?.object?.keys.map { $0 } ?? []).subtracting(["from", "to"])
    let ends = ["from", "to"].flatMap { end in schema["properties"]?[end]?["properties"]?.object?.keys.map { "\(end).\($0)" } ?? [] }
    var said: Set<String> = []
    for line in try String(decoding: Files.read("\(Products.repository)/Plugins/RedisKeys/README.md"), as: UTF8.self).split(separator: "\n")
    where line.hasPrefix("| `") {
      said.formUnion(line.split(separator: "|")[0].split(separator: "`").map(String.init).filter { !$0.contains(" ") && !$0.contains(",") })
    }
    #expect(said == top.union(ends))
  }
}
