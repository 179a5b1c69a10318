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

  private func backup(_ cluster: Cluster, _ command: String, _ more: String...) throws -> Command.Outcome {
    try cluster.folder.write("password", "a word", mode: 0o600)
    let (a, b) = (try cluster.hosts["a"].node, try cluster.hosts["b"].node)
    let settings = [
      "from=files1", "to=files2", "uuid=uuid-files1", "from-node=\(a)", "to-node=\(b)", "vault=\(cluster.folder("vault"))",
      "password=\(cluster.folder("password"))", "id=7",
    ]
    return try cluster.ferry([command, "\(cluster.draft("files"))/ns8-backup.yaml", "--json"] + more + settings.flatMap { ["--set", $0] })
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
    let shares = try other.run("podman volume inspect --format '{{.Mountpoint}}' files2-shares")
    #expect(Files.names(in: shares) == ["letter", "serve"])
    #expect(try other.run("podman volume ls --quiet") == "files2-shares")
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
