import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport

@testable import TidbBrPlugin

/// One migration between the contract's clusters, with rows at the source.
final class Migration: Sendable {
  let contract: Contract
  let folder: TemporaryFolder
  let harness: Harness
  let mode: String

  static let secrets = [
    "from-password": "root-source", "to-password": "root-target", "s3-access-key": "AKIACANARY", "s3-secret-key": "s3-canary/secret",
  ]

  init(
    mode: String = "copy", from: [String: JSONValue] = [:], to: [String: JSONValue] = [:], keys: [String: JSONValue] = [:],
    secrets: [String: String] = Migration.secrets, source: JSONValue = [:], target: JSONValue = [:], seed: Bool = true,
    programs: String? = nil
  ) throws {
    contract = try Contract.shared()
    self.mode = mode
    folder = try TemporaryFolder()
    try contract.reset(source: source, target: target)
    let (left, right) = (contract.addresses.source, contract.addresses.target)
    let host: JSONValue = "127.0.0.1"
    harness = try Harness(
      product: "tidb-br", provider: "tidb-br", folder: folder,
      from: .object(["host": host, "port": .int(Int64(left.port)), "pd": .string(left.pd), "cdc": .string(left.cdc)].merging(from) { $1 }),
      to: .object(["host": host, "port": .int(Int64(right.port)), "pd": .string(right.pd)].merging(to) { $1 }),
      keys: [
        "run-mode": .string(mode), "storage": .string("local://\(folder("backups"))"), "br": .string(contract.addresses.br),
        "step-limit": 60,
      ].merging(keys) { $1 }, secrets: secrets, programs: programs)
    if seed { try self.seed() }
  }

  private func seed() throws {
    try contract.run(
      "source", "CREATE DATABASE shop", "CREATE DATABASE crm",
      "CREATE TABLE shop.orders (id INT PRIMARY KEY, item VARCHAR(40), price DECIMAL(10,2), at TIMESTAMP(3) NULL, KEY by_item (item))",
      "CREATE TABLE shop.stock (code VARCHAR(20) NOT NULL, amount BIGINT, UNIQUE KEY (code))",
      "CREATE TABLE crm.people (id BIGINT PRIMARY KEY, name VARCHAR(60), photo BLOB)",
      "INSERT INTO shop.orders VALUES (1, 'apple', 1.50, '2026-01-02 03:04:05.678'), (2, 'pear', NULL, NULL), (3, 'it''s', 0.10, NULL)",
      "INSERT INTO shop.stock VALUES ('a', 1), ('b', -9223372036854775807), ('', NULL)",
      "INSERT INTO crm.people VALUES (1, 'Zoë', x'00ff27'), (2, NULL, NULL)",
      "CREATE USER 'app'@'%' IDENTIFIED BY 'app-canary'", "GRANT SELECT ON `shop`.* TO 'app'@'%'")
  }

  /// The texts of a check's errors.
  func errors(_ side: Side) throws -> [String] {
    try harness.call(side, .check)["notices"]?.array?.filter { $0["severity"] == "error" }.compactMap { $0["text"]?.string } ?? []
  }

  /// Changes of every kind.
  func write(_ number: Int) throws {
    try contract.run(
      "source", "INSERT INTO shop.orders VALUES (\(number), 'new \(number)', \(number), NULL)",
      "UPDATE shop.orders SET item = 'changed \(number)' WHERE id = 1", "REPLACE INTO shop.stock VALUES ('a', \(number))",
      "DELETE FROM crm.people WHERE id = 2", "INSERT INTO crm.people VALUES (2, 'again \(number)', NULL)")
  }

  /// All phases as the engine makes them; a session that is resumed begins at the first again.
  @discardableResult func run(between: () throws -> Void = {}) throws -> (source: JSONValue, destination: JSONValue) {
    try harness.prepare()
    try harness.pass()
    try between()
    try harness.call(.source, .freeze)
    try harness.pass(final: true)
    let source = try harness.digest(.source)
    if mode == "copy" { try harness.call(.source, .thaw) }
    let digests = (source, try harness.digest(.destination))
    guard digests.0["root"] == digests.1["root"] else { throw FerryError(.peer, "the ends are not equal") }
    try harness.call(.destination, .activate)
    for side in [Side.destination, .source] { try harness.call(side, .release) }
    if mode == "move" { try harness.call(.source, .retire) }
    return digests
  }

  /// The way back, in fresh processes.
  func undo() throws {
    harness.killBoth()
    for (side, call) in [(Side.destination, ProviderCall.deactivate), (.source, .thaw), (.destination, .discard), (.source, .discard)] {
      for _ in 0..<2 {
        try harness.call(side, call)
        harness.kill(side)
      }
    }
  }

  /// What a run must not leave: nil if the source is as it was.
  func residue() throws -> String? {
    let look = try contract.look("source")
    if look["variables"]?["tidb_gc_life_time"] != "10m0s" { return "gc is \(look["variables"]?["tidb_gc_life_time"]?.text ?? "")" }
    if look["changefeeds"]?.object?.isEmpty != true { return "a changefeed" }
    if mode == "copy", look["variables"]?["tidb_restricted_read_only"] != "OFF" { return "a fence" }
    if look["running"]?.array?.contains(where: { $0.string?.hasPrefix("BACKUP") == true }) == true { return "a backup" }
    return nil
  }

  func isEqual() throws -> Bool { try contract.rows("source") == contract.rows("target") }
}
