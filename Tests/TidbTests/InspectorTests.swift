import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  /// What sync-diff-inspector says, by a stand-in with its settings, words and exit codes.
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct InspectorTests {
    private func program() throws -> JSONValue { .string(try Contract.shared().addresses.diff) }

    @Test(
      "where it is, it compares as well, and the receipt has its words; its files with passwords are gone", arguments: ["copy", "follow"])
    func compares(_ mode: String) throws {
      let migration = try Migration(mode: mode, keys: ["sync-diff-inspector": try program()])
      // What is written after the snapshot does not count in mode copy.
      let digests = try migration.run { try migration.write(10) }
      #expect(digests.source["evidence"]?["sync_diff_inspector"] == "A total of 3 table have been compared and all are equal.")
      #expect(digests.source["root"] == digests.destination["root"])
      for secret in ["root-source", "root-target"] {
        #expect(try Command(["grep", "-rlaF", secret, migration.folder("host-source")]).run().output == "")
        #expect(!migration.harness.log.contains(secret))
      }
    }

    @Test("with servers that ask for certificates TiCDC follows and the comparison is made, each by the files that are named for it")
    func encrypted() throws {
      let contract = try Contract.shared()
      let files: JSONValue = [
        "ca": .string(contract.file("tls/ca.pem")), "cert": .string(contract.file("tls/client.pem")),
        "key": .string(contract.file("tls/client.key")),
      ]
      func run(_ mode: String, _ more: [String: JSONValue]) throws -> (Migration, JSONValue?) {
        let (left, right) = (contract.addresses.source, contract.addresses.target)
        let migration = try Migration(
          mode: mode, from: ["port": .int(Int64(left.tls)), "tls": files],
          to: ["port": .int(Int64(right.tls)), "tls": files].merging(more) { $1 }, keys: ["sync-diff-inspector": try program()])
        let digests = try migration.run { if mode == "follow" { try migration.write(10) } }
        #expect(try migration.isEqual())
        return (migration, digests.source["evidence"]?["sync_diff_inspector"])
      }
      let all: JSONValue = "A total of 3 table have been compared and all are equal."
      #expect(try run("follow", ["sink-tls": files]).1 == all)
      let (without, compared) = try run("copy", [:])
      #expect(compared == nil && without.harness.log.contains("`to.sink-tls` names no files"))
    }

    @Test("it is found in PATH, and a run does without it where there is none")
    func found() throws {
      let tools = try TemporaryFolder()
      symlink(try Contract.shared().addresses.diff, tools("sync_diff_inspector"))
      for (keys, isUsed) in [([:], true), (["sync-diff-inspector": "none"], false)] as [([String: JSONValue], Bool)] {
        let evidence = try Migration(keys: keys, programs: tools.path).run().source["evidence"]
        #expect(evidence?["BackupTS"] != nil && (evidence?["sync_diff_inspector"] != nil) == isUsed)
      }
      #expect(try Migration().run().source["evidence"]?["sync_diff_inspector"] == nil)
    }

    @Test("a row that differs is found though the number of rows does not")
    func differs() throws {
      let migration = try Migration(keys: ["sync-diff-inspector": try program(), "compare": "counts"])
      try migration.contract.defect("target", ["restore": "change-row"])
      let error = failure { try migration.run() }
      #expect(error?.message.contains("The data of `crm`.`people` is not equal") == true, "\(String(describing: error))")
      try migration.undo()
      #expect(try migration.residue() == nil)
    }

    @Test(
      "an end that says nothing, refuses its settings or cannot connect is never taken for equal",
      arguments: ["exit 0", "echo The rest of tables are all equal.; exit 0", "echo 'Error: unknown keys'; exit 2", "exit 1", "kill -9 $$"])
    func silent(_ script: String) throws {
      let tools = try TemporaryFolder()
      let path = try tools.write("sync_diff_inspector", "#!/bin/sh\n\(script)\n", mode: 0o755)
      let migration = try Migration(keys: ["sync-diff-inspector": .string(path)])
      #expect(failure { try migration.run() } != nil)
      try migration.undo()
      #expect(try migration.residue() == nil)
    }
  }
}
