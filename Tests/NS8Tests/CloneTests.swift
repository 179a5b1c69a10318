import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("A module is cloned and moved by the manifest that `ferry init` wrote", .enabled(if: Cluster.available)) struct CloneTests {
  /// A wiki at work on a host, with something of everything that the manifest speaks of.
  private func wiki(_ cluster: Cluster, on host: String, without absent: String? = nil) throws -> Instance {
    let wiki = try cluster.add("wiki1", "wiki", on: host, environment: ["TCP_PORT=20001", "WIKI_TITLE=Ferries", "WIKI_LANGUAGE=en"])
    for (name, text) in [
      ("secrets.env", "PASSWORD=hard"), ("rendered/page", ""), ("old.tmp", ""), ("kept.tmp", ""), ("passwords.new", "of wiki1"),
    ] where name != absent { try wiki.write(name, text) }
    try wiki.file("\(wiki.volume("wiki-pages"))/upload", of: 33)
    try wiki.file("\(wiki.folder)/state/index", of: 33)
    for name in ["service", "timer"] {
      let unit =
        "[Unit]\nDescription=A backup of this instance alone\n"
        + (name == "timer" ? "[Timer]\nOnActiveSec=1d\n[Install]\nWantedBy=timers.target\n" : "[Service]\nExecStart=true\n")
      try Files.replace("\(wiki.folder)/systemd/user/backup1.\(name)", with: Array(unit.utf8), mode: 0o644)
    }
    try wiki.run("systemctl --user daemon-reload; systemctl --user enable --now wiki wiki-status wiki-render.timer backup1.timer")
    try waitFor("the wiki to write") {
      try wiki.call("podman volume exists wiki-pages").succeeded && (try? wiki.log("wiki-pages").count) ?? 0 > 3
    }
    return wiki
  }

  /// What holds of a clone, whichever way it was made.
  private func check(_ clone: Instance, _ cluster: Cluster, mode: String) throws {
    // It goes on where the other left off, without a gap.
    let count = try clone.log("wiki-pages").count
    try waitFor("the clone to write") { try clone.log("wiki-pages").count > count }
    let log = try clone.log("wiki-pages")
    #expect(log == Array(1...max(1, log.count)))
    #expect(clone.has("secrets.env") && clone.has("kept.tmp"))
    // Owners are those that the module's containers see.
    #expect(clone.isFile("\(clone.folder)/state/secrets.env", of: 0) && clone.isFile("\(clone.folder)/state/index", of: 33))
    #expect(try clone.isFile("\(clone.place("wiki-pages"))/upload", of: 33))
    #expect(clone.isFile("\(clone.folder)/state", of: 0) && clone.isFile("\(clone.folder)/state/environment", of: 0))
    #expect(!clone.has("rendered") && !clone.has("old.tmp"))
    #expect(try clone.read("passwords.new") == "of wiki2")
    #expect(try clone.read("apitoken.cache") == "token of wiki2")
    #expect(try clone.read("agent.env").contains("module/wiki2"))
    let expected: Set = [
      "MODULE_ID=wiki2", "MODULE_UUID=uuid-wiki\(mode == "move" ? 1 : 2)", "TCP_PORT=20002", "WIKI_LANGUAGE=en",
    ]
    #expect(try clone.variables().filter { !$0.hasPrefix("WIKI_TITLE=") } == expected)
    for (unit, isEnabled) in [("wiki.service", true), ("wiki-status.service", true), ("wiki-render.timer", true), ("backup1.timer", false)]
    {
      #expect(try clone.isEnabled(unit) == isEnabled, "\(unit)")
      #expect(try clone.state(unit) == (isEnabled ? "active" : "inactive"), "\(unit)")
    }
    #expect(try clone.state("wiki-index.service") == "active")
    #expect(try cluster.folder.read("routes/wiki2") == "20002\n")
    #expect(Files.names(in: "\(clone.folder)/state").allSatisfy { !$0.contains("ferry") })
  }

  @Test(
    "replace: false, on the same node and to another: the source goes on as it was, and what must stay up has stayed up",
    arguments: ["a", "b"])
  func copy(to node: String) throws {
    let cluster = try Cluster(Set(["a", node]).sorted())
    let source = try wiki(cluster, on: "a")
    let clone = try cluster.add("wiki2", "wiki", on: node, environment: ["TCP_PORT=20002"])
    try clone.write("passwords.new", "of wiki2")
    let staying = try source.run("systemctl --user show --property=InvocationID wiki-status")
    let writing = try source.run("systemctl --user show --property=InvocationID wiki")
    try cluster.folder.write("configuration.json", #"{"title": "Boats"}"#)
    let outcome = try cluster.ferry(
      "run", "\(cluster.draft("wiki"))/ns8-clone.yaml", "--json", "--set", "from=wiki1", "--set", "to=wiki2",
      "--set", "from-node=\(cluster.hosts["a"].node)", "--set", "to-node=\(cluster.hosts[node].node)",
      "--set", "home=\(cluster.folder("homes"))", "--set", "configure=\(cluster.folder("configuration.json"))")
    try #require(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(6000))")
    try check(clone, cluster, mode: "copy")
    #expect(try clone.variables().contains("WIKI_TITLE=Boats"))
    let input = #"{"replace":false,"volumes":["wiki-pages"]}"#
    #expect(
      cluster.steps == [
        "create-module/20defaults wiki2 {}", #"transfer-state/20flush wiki1 {"replace":false}"#,
        #"transfer-state/60resume wiki1 {"replace":false} active"#, "clone-module/30reindex wiki2 \(input) en",
        "clone-module/95route wiki2 \(input)", "configure-module/20title wiki2 Boats",
      ])
    #expect(try source.run("systemctl --user show --property=InvocationID wiki-status") == staying)
    #expect(try source.run("systemctl --user show --property=InvocationID wiki") != writing)
    for unit in ["wiki.service", "wiki-index.service", "wiki-render.timer", "backup1.timer"] { #expect(try source.state(unit) == "active") }
    #expect(source.has("rendered/page") && source.has("old.tmp"))
    #expect(try source.variables().contains("MODULE_UUID=uuid-wiki1"))
  }

  @Test("replace: true, to another node: the identity goes along, and at the end the source is removed")
  func move() throws {
    let cluster = try Cluster(["a", "b"])
    let source = try wiki(cluster, on: "a")
    let clone = try cluster.add("wiki2", "wiki", on: "b", environment: ["TCP_PORT=20002"])
    try clone.write("passwords.new", "of wiki2")
    try cluster.folder.write("routes/wiki1", "20001\n")
    let outcome = try cluster.ferry(
      "run", "\(cluster.draft("wiki"))/ns8-clone.yaml", "--json", "--set", "mode=move", "--set", "from=wiki1", "--set", "to=wiki2",
      "--set", "from-node=\(cluster.hosts["a"].node)", "--set", "to-node=\(cluster.hosts["b"].node)",
      "--set", "home=\(cluster.folder("homes"))")
    try #require(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(6000))")
    try check(clone, cluster, mode: "move")
    #expect(cluster.steps.contains(#"transfer-state/60resume wiki1 {"replace":true} inactive"#))
    #expect(cluster.steps.last == "destroy-module/30route wiki1")
    #expect(!Files.exists(cluster.folder("routes/wiki1")))
    #expect(try source.state("wiki.service") == "inactive")
    #expect(try source.run("podman volume ls --quiet") == "")
    #expect(!source.has("secrets.env") && !source.has("environment"))
  }

  @Test("a step that fails before the services start: the instance that was made goes again, and the source serves as before")
  func stepFails() throws {
    let cluster = try Cluster(["a"])
    let source = try wiki(cluster, on: "a", without: "secrets.env")
    let clone = try cluster.add("wiki2", "wiki", on: "a", environment: ["TCP_PORT=20002"])
    let outcome = try cluster.ferry(
      "run", "\(cluster.draft("wiki"))/ns8-clone.yaml", "--json", "--set", "mode=move", "--set", "from=wiki1", "--set", "to=wiki2",
      "--set", "from-node=\(cluster.hosts["a"].node)", "--set", "to-node=\(cluster.hosts["a"].node)",
      "--set", "home=\(cluster.folder("homes"))")
    #expect(outcome.code == 1, "\(outcome.reason) \(outcome.output.suffix(6000))")
    #expect(outcome.errors.contains("30-clone-module-30reindex"), "\(outcome.errors)")
    #expect(cluster.steps.last == "destroy-module/30route wiki2")
    for unit in ["wiki.service", "wiki-render.timer"] {
      #expect(try source.state(unit) == "active")
      #expect(try clone.state(unit) == "inactive")
    }
    #expect(try clone.variables().contains("MODULE_UUID=uuid-wiki2"))
    #expect(try clone.read("agent.env").contains("module/wiki2"))
    #expect(!clone.has("kept.tmp"))
    #expect(Files.names(in: clone.folder).allSatisfy { !$0.contains("ferry") })
  }

  @Test("a rootful module: its own steps stop and start it, and its volumes get the new instance's id")
  func rootful() throws {
    let cluster = try Cluster(["a", "b"])
    let source = try files(cluster)
    let clone = try cluster.add("files2", "files", on: "b")
    let outcome = try self.clone(cluster)
    try #require(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(6000))")
    try waitFor("the clone to write") { try clone.log("files2-shares").count > 3 }
    let log = try clone.log("files2-shares")
    #expect(log == Array(1...max(1, log.count)))
    #expect(try clone.variables() == ["MODULE_ID=files2", "MODULE_UUID=uuid-files2", "FILES_WORKGROUP=new"])
    #expect(try clone.read("settings") == "of files1")
    #expect(!clone.has("lost+found"))
    #expect(
      cluster.steps == [
        "create-module/20container files2", "transfer-state/40stop files1", "transfer-state/60start files1 false",
        "clone-module/50run files2 files2-shares",
      ])
    #expect(try source.run("podman inspect --format '{{.State.Running}}' files1") == "true")
  }

  @Test("a rootful module is moved: the identity goes along, and nothing of the source's is left")
  func rootfulMove() throws {
    let cluster = try Cluster(["a", "b"])
    let source = try files(cluster)
    let clone = try cluster.add("files2", "files", on: "b")
    let outcome = try self.clone(cluster, mode: "move")
    try #require(outcome.succeeded, "\(outcome.reason) \(outcome.output.suffix(6000))")
    try waitFor("the clone to write") { try clone.log("files2-shares").count > 3 }
    let log = try clone.log("files2-shares")
    #expect(log == Array(1...max(1, log.count)))
    #expect(try clone.variables() == ["MODULE_ID=files2", "MODULE_UUID=uuid-files1", "FILES_WORKGROUP=new"])
    #expect(try clone.read("settings") == "of files1")
    #expect(
      cluster.steps == [
        "create-module/20container files2", "transfer-state/40stop files1", "transfer-state/60start files1 true",
        "clone-module/50run files2 files2-shares",
      ])
    #expect(try source.run("podman inspect --format '{{.State.Running}}' files1") == "false")
    // A container that is stopped still has its volume, so that is emptied.
    #expect(try Files.names(in: source.place("files1-shares")).isEmpty)
    #expect(!source.has("settings") && !source.has("environment"))
  }

  @Test("a run that fails at the new instance starts what the module's own steps have stopped, and leaves no copy")
  func back() throws {
    let cluster = try Cluster(["a", "b"])
    let source = try files(cluster)
    try source.write("fail", "")
    let clone = try cluster.add("files2", "files", on: "b")
    let outcome = try self.clone(cluster, mode: "move")
    #expect(outcome.code == 1, "\(outcome.reason) \(outcome.output.suffix(6000))")
    #expect(cluster.steps.last == "transfer-state/60start files1 false")
    #expect(try source.run("podman inspect --format '{{.State.Running}}' files1") == "true")
    let count = try source.log("files1-shares").count
    try waitFor("the source to write") { try source.log("files1-shares").count > count }
    #expect(try clone.variables().contains("MODULE_UUID=uuid-files2"))
    #expect(!clone.has("settings"))
    #expect(Files.names(in: "\(clone.folder)/state").sorted() == ["agent.env", "apitoken.cache", "environment"])
  }

  /// A file server at work on host a.
  private func files(_ cluster: Cluster) throws -> Instance {
    let files = try cluster.add("files1", "files", on: "a", environment: ["FILES_WORKGROUP=boats"])
    try files.write("settings", "of files1")
    try files.write("lost+found/x", "")
    _ = try files.volume("files1-shares")
    try files.run("podman run --detach --name files1 --network none --volume files1-shares:/pages box /bin/sh /pages/serve")
    try waitFor("the file server to write") { (try? files.log("files1-shares").count) ?? 0 > 3 }
    return files
  }

  private func clone(_ cluster: Cluster, mode: String = "copy") throws -> Command.Outcome {
    try cluster.ferry(
      "run", "\(cluster.draft("files"))/ns8-clone.yaml", "--json", "--set", "mode=\(mode)", "--set", "from=files1", "--set", "to=files2",
      "--set", "from-node=\(cluster.hosts["a"].node)", "--set", "to-node=\(cluster.hosts["b"].node)")
  }
}
