import FerrySystem
import TestSupport
import Testing

@testable import TidbBrPlugin

@Suite struct DocumentTests {
  @Test("the README's table has every key of the schema, and no other")
  func keys() throws {
    let schema = try JSONValue(parsing: TidbConfig.schema)
    func members(_ value: JSONValue) -> [String: JSONValue] {
      let name = value["$ref"]?.string?.split(separator: "/").last.map(String.init)
      return (name.flatMap { schema["$defs"]?[$0] } ?? value)["properties"]?.object ?? [:]
    }
    func names(_ value: JSONValue, _ prefix: String) -> [String] {
      members(value).flatMap { key, inner in members(inner).isEmpty ? ["\(prefix)\(key)"] : names(inner, "\(prefix)\(key).") }
    }
    let text = String(decoding: try Files.read("\(Products.repository)/Plugins/TidbBr/README.md"), as: UTF8.self)
    var said: Set<String> = []
    for line in text.split(separator: "\n") where line.hasPrefix("| `") {
      let parts = line.split(separator: "|")[0].split(separator: "`", omittingEmptySubsequences: false)
      said.formUnion(stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) })
    }
    #expect(said == Set(names(schema, "")))
  }

  @Test("versions are read wherever they stand, and compared as numbers")
  func versions() {
    #expect(TidbVersion(in: "Release Version: v7.5.1\nEdition: Community", after: "Release Version:") == TidbVersion(7, 5, 1))
    #expect(TidbVersion(in: "8.0.11-TiDB-v8.5.0-alpha", after: "TiDB-") == TidbVersion(8, 5, 0))
    #expect(TidbVersion(in: "Release Version: None", after: "Release Version:") == nil)
    #expect(TidbVersion(6, 5, 10) > TidbVersion(6, 5, 9))
    #expect(TidbVersion(5, 2, 1) < TidbVersion(5, 2, 2))
  }

  @Test("lengths of time are compared by what they say, not by how")
  func durations() {
    #expect(GoDuration("720h") == GoDuration("720h0m0s"))
    #expect(GoDuration("10m0s") == GoDuration("600s"))
    #expect(GoDuration("") == nil && GoDuration("10") == nil && GoDuration("ten") == nil)
  }

  @Test("br's summary is found in any case, and its last one counts")
  func summaries() {
    let text = """
      [2024/01/01 00:00:00.000 +00:00] [INFO] [progress] [step="Full Backup"] [progress=17.12%]
      [2024/01/01 00:00:01.000 +00:00] [INFO] ["Full Backup success summary"] [total-ranges=8] [BackupTS=446570411396333570] [Size=34]
      [2024/01/01 00:00:01.000 +00:00] [INFO] ["Full backup Success summary"] [backupts=446570411396333571] [size=35]
      """
    #expect(BrTool.summary(in: text) == .init(backupTS: 446_570_411_396_333_571, size: 35))
    #expect(BrTool.summary(in: "[\"Full Backup failed summary\"] [BackupTS=5]") == nil)
    #expect(BrTool.summary(in: "[\"Full Backup success summary\"] [BackupTS=0]") == nil)
  }

  @Test("br's errors are told apart by its own codes")
  func failures() throws {
    let failed = try Command(["false"]).run()
    let secrets = Secrets(values: ["s3-secret-key": "hidden/key"])
    func error(_ text: String) -> FerryError {
      BrTool.failure(failed, text: text, secrets)
    }
    #expect(error("Error: cluster is not fresh: [BR:Restore:ErrRestoreNotFreshCluster]cluster is not fresh").class == .conflict)
    #expect(error("Error: x: [BR:Common:ErrInvalidArgument]x").class == .invalid)
    #expect(error("Error: [BR:PD:ErrPDLeaderNotFound]no leader").class == .retry)
    #expect(!error("Error: cannot write with hidden/key").message.contains("hidden"))
  }

  @Test("a table filter takes and leaves as TiDB's does: the last rule that fits counts")
  func filters() {
    let scope = BackupScope.filter(["shop.*", "!shop.tmp?", "crm.people"])
    func takes(_ text: String) -> Bool {
      let parts = text.split(separator: ".").map(String.init)
      return scope.takes(TableName(database: parts[0], name: parts[1]))
    }
    #expect(takes("shop.orders") && takes("crm.people") && !takes("shop.tmp1") && takes("shop.tmp") && !takes("crm.x"))
  }

  @Test("names and texts cannot end a statement")
  func quoting() {
    #expect(SQLConnection.quote("it's \\ here") == "'it\\'s \\\\ here'")
    #expect(SQLConnection.name("a`b") == "`a``b`")
  }

  @Test("a run's backups have a folder of their own, in front of the address's query")
  func folders() {
    #expect(BackupStorage.folder("s3://b/p/?endpoint=x", run: "r", item: "i", attempt: 2) == "s3://b/p/r-i-2?endpoint=x")
    #expect(BackupStorage.folder("local:///mnt/x", run: "r", item: "i", attempt: 1) == "local:///mnt/x/r-i-1")
  }
}
