import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("A module is backed up and restored by the manifest that `ferry init` wrote", .enabled(if: Cluster.available)) struct BackupTests {
  private func files(_ cluster: Cluster) throws -> Instance {
    let files = try cluster.add("files1", "files", on: "a")
    for name in ["settings", "cache"] { try files.write(name, "of files1") }
    let shares = try files.volume("files1-shares")
    try Files.makeFolder("\(shares)/trash")
    try Files.replace("\(shares)/trash/old", with: [])
    try Files.replace("\(shares)/letter", with: Array("dear".utf8))
    _ = try files.run("podman volume create files1-other")
    return files
  }

  private func backup(_ cluster: Cluster, _ command: String, _ module: String = "files") throws -> Command.Outcome {
    try cluster.folder.write("password", "a word", mode: 0o600)
    let (a, b) = (try cluster.hosts["a"].node, try cluster.hosts["b"].node)
    let settings = [
      "from=\(module)1", "to=\(module)2", "uuid=uuid-\(module)1", "from-node=\(a)", "to-node=\(b)", "vault=\(cluster.folder("vault"))",
      "password=\(cluster.folder("password"))", "id=7",
    ]
    let home = module == "wiki" ? ["home=\(cluster.folder("homes"))"] : []
    return try cluster.ferry(
      [command, "\(cluster.draft(module))/ns8-backup.yaml", "--json"] + (settings + home).flatMap { ["--set", $0] })
  }

  @Test("what the include file names is restored into another instance on another node, which stays who it is")
  func restored() throws {
    let cluster = try Cluster(["a", "b"])
    let source = try files(cluster)
    let sent = try backup(cluster, "transfer")
    try #require(sent.succeeded, "\(sent.reason) \(sent.output.suffix(6000))")
    #expect(cluster.steps == ["module-cleanup-state files1 7"])
    #expect(!source.has("users.dump"))
    #expect(Files.exists(cluster.folder("vault/files/uuid-files1/config")))

    let other = try cluster.add("files2", "files", on: "b", environment: ["FILES_WORKGROUP=new"])
    let received = try backup(cluster, "receive")
    try #require(received.succeeded, "\(received.reason) \(received.output.suffix(6000))")
    #expect(cluster.steps.dropFirst() == ["restore-module/20load files2 uuid-files1 users of files1 in backup 7"])
    #expect(try other.read("settings") == "of files1")
    #expect(!other.has("cache"))
    #expect(try other.variables() == ["MODULE_ID=files2", "MODULE_UUID=uuid-files2", "FILES_WORKGROUP=new"])
    #expect(try other.read("agent.env").contains("module/files2"))
    #expect(try Files.names(in: other.place("files2-shares")) == ["letter", "serve"])
    #expect(try other.run("podman volume ls --quiet") == "files2-shares")
  }

  @Test("a rootless module's backup is restored for another user: its owners are those that its containers see, and it goes on from there")
  func rootless() throws {
    let cluster = try Cluster(["a", "b"])
    let source = try cluster.add("wiki1", "wiki", on: "a", environment: ["WIKI_LANGUAGE=en"])
    let pages = try source.volume("wiki-pages")
    try source.run("cd '\(pages)'; printf '1\n2\n3\n' > log; mkdir rendered; touch rendered/page")
    try source.file("\(pages)/upload", of: 33)
    for name in ["secrets.env", "cache"] { try source.write(name, "of wiki1") }
    try source.run("podman volume create wiki-other")
    let sent = try backup(cluster, "transfer", "wiki")
    try #require(sent.succeeded, "\(sent.reason) \(sent.output.suffix(6000))")
    #expect(cluster.steps == ["module-cleanup-state wiki1 7"])
    #expect(!source.has("title.dump"))

    let other = try cluster.add("wiki2", "wiki", on: "b")
    let received = try backup(cluster, "receive", "wiki")
    try #require(received.succeeded, "\(received.reason) \(received.output.suffix(6000))")
    #expect(cluster.steps.dropFirst() == ["restore-module/06copyenv wiki2 en", "restore-module/20loadtitle wiki2 title of backup 7"])
    #expect(try other.read("secrets.env") == "of wiki1")
    #expect(!other.has("cache"))
    #expect(try other.variables() == ["MODULE_ID=wiki2", "MODULE_UUID=uuid-wiki2", "WIKI_LANGUAGE=en"])
    #expect(try other.run("podman volume ls --quiet") == "wiki-pages")
    let place = try other.place("wiki-pages")
    #expect(Files.names(in: place) == ["log", "serve", "upload"])
    #expect(other.isFile("\(place)/log", of: 0) && other.isFile("\(place)/upload", of: 33))
    #expect(other.isFile("\(other.folder)/state/secrets.env", of: 0))
    try other.run("systemctl --user daemon-reload; systemctl --user start wiki")
    try waitFor("the restored wiki to write") { try other.log("wiki-pages").count > 5 }
    let log = try other.log("wiki-pages")
    #expect(log == Array(1...log.count))
  }

  @Test("a dump that fails ends the backup, and the cleanup is done all the same")
  func dumpFails() throws {
    let cluster = try Cluster(["a", "b"])
    let source = try files(cluster)
    try source.write("dump-fails", "")
    let sent = try backup(cluster, "transfer")
    #expect(sent.code == 1, "\(sent.reason) \(sent.output.suffix(3000))")
    #expect(cluster.steps == ["module-cleanup-state files1 7"])
    #expect(!source.has("users.dump"))
    let received = try backup(cluster, "receive")
    #expect(received.code != 0)
  }
}
