import Ferry
import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("ferry init ns8:") struct DraftTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let manifests = "\(Products.repository)/Manifests"
  private static let rewrites = getenv("FERRY_WRITE_EXPECTED") != nil

  @Test("the worked pair in Manifests is what the command writes for the fixture, to the byte")
  func worked() throws {
    let draft = try NS8Module(imageRoot: Cluster.imageRoot("wiki")).draft()
    if Self.rewrites {
      for name in ["ns8-clone-hooks", "ns8-backup-hooks"] { try Files.remove("\(Self.manifests)/\(name)") }
      try draft.write(to: Self.manifests, replacing: true)
    }
    for file in draft.files {
      let path = "\(Self.manifests)/\(file.path)"
      #expect(String(decoding: (try? Files.read(path)) ?? [], as: UTF8.self) == file.text, "\(file.path)")
      #expect((access(path, X_OK) == 0) == file.isProgram, "\(file.path)")
    }
    var find = Command(["find", "ns8-clone-hooks", "ns8-backup-hooks", "-type", "f"])
    find.directory = Self.manifests
    #expect(Set(try find.run().output.split(separator: "\n").map(String.init)) == Set(draft.files.filter(\.isProgram).map(\.path)))
  }

  @Test(
    "what it writes is valid, by the providers' own schemas, in every mode", .enabled(if: Cluster.tree != nil),
    arguments: ["wiki", "files"])
  func valid(_ module: String) throws {
    let draft = try NS8Module(imageRoot: Cluster.imageRoot(module)).draft()
    try draft.write(to: folder.path)
    let tree = try #require(Cluster.tree)
    let engine = try Engine(
      Engine.Configuration(executable: "\(tree)/bin/ferry", stateFolder: folder("state"), pluginFolders: ["\(tree)/lib/ferry/plugins"]))
    for mode in ["copy", "move"] {
      let manifest = try engine.load(folder("ns8-clone.yaml"), parameters: ["mode": mode, "from": "\(module)1", "to": "\(module)2"])
      #expect(manifest.mode.rawValue == mode && manifest.name == module)
      #expect(manifest.warnings.isEmpty, "\(manifest.warnings)")
    }
    let backup = try engine.load(folder("ns8-backup.yaml"), parameters: ["from": "\(module)1", "uuid": "u-1"])
    #expect(backup.services.isEmpty && backup.warnings.isEmpty, "\(backup.warnings)")
    for hooks in ["ns8-clone-hooks", "ns8-backup-hooks"] { _ = try HookFolder.load(folder(hooks)) }
    for file in draft.files where file.isProgram {
      let outcome = try Command(["sh", "-n", folder(file.path)]).run()
      #expect(outcome.succeeded, "\(file.path): \(outcome.errors)")
    }
  }

  @Test("each step has its place in the run, and what is no step is told")
  func steps() throws {
    let draft = try NS8Module(imageRoot: Cluster.imageRoot("wiki")).draft()
    #expect(
      Set(draft.files.filter(\.isProgram).map(\.path)) == [
        "ns8-clone-hooks/prepare/destination/10-create-module-20defaults",
        "ns8-clone-hooks/quiesce/source/20-transfer-state-20flush",
        "ns8-clone-hooks/verify/source/60-transfer-state-60resume",
        "ns8-clone-hooks/start/destination/30-clone-module-30reindex",
        "ns8-clone-hooks/activate/destination/95-clone-module-95route",
        "ns8-clone-hooks/activate/destination/96-configure-module-20title",
        "ns8-clone-hooks/retire/source/10-destroy-module-30route",
        "ns8-clone-hooks/ended/destination/10-destroy-module-30route",
        "ns8-backup-hooks/copy/source/10-module-dump-state",
        "ns8-backup-hooks/ended/source/10-module-cleanup-state",
        "ns8-backup-hooks/activate/destination/50-restore-module-06copyenv",
        "ns8-backup-hooks/activate/destination/51-restore-module-20loadtitle",
      ])
    #expect(draft.notes == ["actions/clone-module/README has no two digits in front and became no hook"])
  }

  @Test("filter rules begin at state/, and none of them undoes what NethServer always leaves out")
  func rules() throws {
    func manifest(_ rules: String) throws -> (text: String, notes: [String]) {
      try folder.write("root/etc/state-filter-rules.rsync", rules)
      let draft = try NS8Module(imageRoot: folder("root"), name: "x").draft()
      return (draft.files[0].text, draft.notes.filter { !$0.contains("volume is named") })
    }
    let some = try manifest("# said\n- /state/a\n+,s /state/b/**\nexclude,! /state/it's\nhide *.tmp\nprotect /state/own\n")
    for line in ["- '- /a'", "- '+s /b/**'", "- '-! /it''s'", "- 'H *.tmp'", "keep: [agent.env, environment, apitoken.cache, own]"] {
      #expect(some.text.contains(line), "\(line) in \(some.text)")
    }
    #expect(some.notes.count == 1 && some.notes.first?.contains("'hide *.tmp'") == true)
    let cleared = try manifest("- /state/a\n!\n+ /state/agent.env\n")
    #expect(!cleared.text.contains("/a'") && cleared.text.contains("- '+ /agent.env'"))
    #expect(cleared.text.contains("keep: [agent.env, environment, apitoken.cache]"))
    #expect(try manifest(": .rules\n. /etc/rules\nP /state/*.own\n- /volumes/x/y\n").notes.count == 4)
  }

  @Test("units are stopped before those that they come after, and what nobody enables is left to those that start it")
  func units() throws {
    for (name, text) in [
      ("a", "[Unit]\nAfter=b.service c.service\n[Install]\nWantedBy=default.target\n"),
      ("b", "[Unit]\nBefore=a.service\n[Service]\nExecStart=podman run \\\n -v b-data:/data:z --volume /etc:/etc --volume=c-data:/c b\n"),
      ("c", "[Unit]\nAfter=b.service\n[Install]\nWantedBy=default.target\n"), ("t@", "[Service]\nExecStart=true\n"),
    ] { try folder.write("root/systemd/user/\(name).service", text) }
    try folder.write(
      "root/systemd/user/q.container", "[Container]\nVolume=q.volume:/q\nVolume=%h/x:/x\n[Install]\nWantedBy=default.target\n")
    try folder.write("root/systemd/user/transfer-state.target.wants/q.service", "")
    let draft = try NS8Module(imageRoot: folder("root"), name: "x").draft()
    let text = draft.files[0].text
    let services = text.split(separator: "\n").filter { $0.hasPrefix("  - systemd: ") }.map { $0.dropFirst(13) }
    #expect(services == ["a.service", "c.service", "b.service"])
    #expect(text.contains("wants it: q.service."))
    #expect(text.contains("volumes: [b-data, c-data, systemd-q]"))
    #expect(text.contains("units: [a.service, c.service, q.service]"))
    #expect(draft.notes == ["t@.service is a template: name its instances under `services`"])
  }

  @Test("what is no image root is refused, and nothing is written over what is there")
  func refused() throws {
    try Files.makeFolder(folder("empty"))
    let error = #expect(throws: FerryError.self) { try NS8Module(imageRoot: folder("empty")) }
    #expect(error?.class == .notFound)
    let draft = try NS8Module(imageRoot: Cluster.imageRoot("files")).draft()
    try folder.write("out/ns8-backup.yaml", "mine")
    let taken = #expect(throws: FerryError.self) { try draft.write(to: folder("out")) }
    #expect(taken?.class == .conflict)
    #expect(Files.names(in: folder("out")) == ["ns8-backup.yaml"])
    #expect(try folder.read("out/ns8-backup.yaml") == "mine")
    try draft.write(to: folder("out"), replacing: true)
    #expect(try folder.read("out/ns8-backup.yaml").contains("name: files\n"))
  }
}
