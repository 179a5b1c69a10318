import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct SecretTests {
    /// What must be nowhere: secrets, in the forms that they travel in, and the accounts' passwords.
    static let canaries = ["root-source", "root-target", "AKIACANARY", "s3-canary/secret", "s3-canary%2Fsecret", "app-canary"]

    private func find(in migration: Migration, _ texts: [String]) throws -> [String] {
      // The hosts' memory and temporary folders with br's logs, the backup's addresses, and what was logged and said.
      var found: [String] = []
      for canary in Self.canaries {
        let files = try Command(["grep", "-rlaF", canary, migration.folder("host-source"), migration.folder("host-destination")]).run()
          .output
        if !files.isEmpty { found.append("\(canary) in \(files)") }
        if migration.harness.log.contains(canary) { found.append("\(canary) in the log") }
        for text in texts where text.contains(canary) { found.append("\(canary) in '\(text)'") }
      }
      return found
    }

    @Test("no secret is in a log, in kv, in an offer, in br's arguments or in a file", arguments: ["br", "sql"])
    func nowhere(_ tool: String) throws {
      let contract = try Contract.shared()
      let tools = try TemporaryFolder()
      let br = try tools.write("br", "#!/bin/sh\necho \"$*\" >> \(tools("arguments"))\nexec \(contract.addresses.br) \"$@\"\n", mode: 0o755)
      let endpoint = "s3://backups/canary-\(tool)?endpoint=http://127.0.0.1:\(contract.addresses.s3)&force-path-style=true"
      let migration = try Migration(mode: "follow", keys: ["tool": .string(tool), "br": .string(br), "storage": .string(endpoint)])
      try migration.run()
      let offer = try migration.harness.call(.destination, .prepare).text
      let arguments = tool == "br" ? try tools.read("arguments") : ""
      #expect(tool == "sql" || arguments.contains("backup full"))
      #expect(try find(in: migration, [offer, arguments]) == [])
    }

    @Test("errors that quote a statement do not quote its secrets")
    func errors() throws {
      let secrets = Secrets(values: ["s3-secret-key": "s3-canary/secret", "to-password": "pa'ss\\word"])
      #expect(secrets.scrub("near 's3-canary%2Fsecret' and s3-canary/secret") == "near '***' and ***")
      let migration = try Migration(
        keys: ["tool": "sql", "storage": "s3://backups/x?endpoint=http://127.0.0.1:1&force-path-style=true"])
      let error = failure { try migration.run() }
      #expect(error != nil)
      #expect(try find(in: migration, [String(describing: error)]) == [])
      let feed = try Migration(mode: "follow", to: ["sink-port": 1], keys: ["step-limit": 3])
      let other = failure { try feed.run() }
      #expect(try find(in: feed, [String(describing: other)]) == [])
    }
  }
}
