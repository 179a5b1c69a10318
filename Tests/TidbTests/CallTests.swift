import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  /// What docs/abi.md promises of every provider. The common suite wants a target that is hidden until it is activated, and a path; a cluster
  /// that is filled where it is has neither.
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct CallTests {
    @Test("the undo calls do no harm in fresh processes, twice, where nothing was done")
    func undoWithout() throws {
      let migration = try Migration(mode: "follow")
      try migration.contract.run(
        "target", "CREATE DATABASE other", "CREATE TABLE other.t (id INT PRIMARY KEY)", "CREATE DATABASE ferry_follows")
      let before = (try migration.contract.rows("source"), try migration.contract.rows("target"))
      try migration.contract.control(["do": "pause", "event": 0, "when": "never"])
      try migration.undo()
      for side in Side.allCases {
        for _ in 0..<2 {
          try migration.harness.call(side, .release)
          migration.harness.kill(side)
        }
      }
      #expect(try migration.contract.events == [])
      #expect(try migration.contract.rows("source") == before.0)
      #expect(try migration.contract.rows("target") == before.1)
    }

    @Test("what is active can be digested by a process that knows nothing of the run")
    func stranger() throws {
      let migration = try Migration(mode: "follow")
      let digests = try migration.run { try migration.write(10) }
      migration.harness.killBoth()
      try Files.remove(migration.harness.folder("host-destination"))
      #expect(try migration.harness.digest(.destination, full: true, target: "active")["root"] == digests.source["root"])
      try migration.contract.run("target", "UPDATE crm.people SET photo = x'00' WHERE id = 1")
      #expect(try migration.harness.digest(.destination, full: true, target: "active")["root"] != digests.source["root"])
    }

    @Test("a digest tells every state from every other, and its listing names the table that differs")
    func digests() throws {
      let migration = try Migration(mode: "follow")
      let listing = migration.folder("listing")
      func look() throws -> (root: JSONValue?, lines: [Substring]) {
        let root = try migration.harness.digest(.source, listing: listing)["root"]
        return (root, try migration.folder.read("listing").split(separator: "\n"))
      }
      var found = [try look()]
      #expect(try look().root == found[0].root)
      for statement in [
        "UPDATE shop.orders SET item = NULL WHERE id = 1", "UPDATE shop.orders SET item = '' WHERE id = 1",
        "UPDATE shop.orders SET item = 'N' WHERE id = 1", "UPDATE shop.orders SET item = '1:N' WHERE id = 1",
        "UPDATE shop.orders SET at = '2026-01-02 03:04:05.679' WHERE id = 1", "DELETE FROM shop.orders WHERE id = 1",
      ] {
        try migration.contract.run("source", statement)
        found.append(try look())
        let (left, right) = (found[found.count - 2].lines, found[found.count - 1].lines)
        #expect(zip(left, right).filter { $0 != $1 }.map { $0.1.split(separator: "\t").last } == ["shop/orders"])
      }
      #expect(Set(found.map(\.root)).count == found.count)
      #expect(try migration.harness.digest(.source, algorithm: "sha256")["root"]?.string?.count == 64)
      migration.harness.kill(.source)
      #expect(try migration.harness.digest(.source, full: true)["root"] == found.last?.root)
    }
  }
}
