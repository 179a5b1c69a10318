import Ferry
import FerrySystem
import FerryTree
import Glibc
import PluginHarness
import TestSupport
import Testing

@testable import ResticPlugin

/// Modules of NethServer 8: a state folder and Podman's volumes, on a real Podman. One after another: a rootless module has all volumes that there
/// are, and another test may take one away.
@Suite(.serialized, .enabled(if: TestEngine.available, "there is no Podman of the test's own here"))
struct NethServerTests {
  static let podman = Result { try TestEngine(.podman) }

  let backup: Backup
  let engine: TestEngine
  /// Each test has modules of its own in the one Podman.
  let from: String
  let to: String

  init() throws {
    backup = try Backup()
    engine = try Self.podman.get()
    let number = UInt32.random(in: 0 ... .max)
    (from, to) = ("wiki\(number)", "copy\(number)")
    let variables = engine.environment.map { "\($0.key)='\($0.value)'" }.joined(separator: " ")
    let podman = try Programs.find("podman")
    try backup.folder.write("programs/podman", "#!/bin/sh\n\(variables) exec \(podman) \"$@\"\n", mode: 0o755)
    // What it does is to run as the user: the test's Podman is root's.
    try backup.folder.write(
      "programs/runuser", "#!/bin/sh\n[ \"$1 $3 $4\" = '-u -- podman' ] || exit 9\nshift 3\nexec \"$@\"\n", mode: 0o755)
    try backup.folder.write("a/state/environment", "MODULE_UUID=one\n")
    try backup.folder.write("a/state/ledger.dump", "dump")
    try backup.folder.write("a/state/agent.env", "agent of the source")
    try backup.folder.write("b/state/environment", "MODULE_UUID=two\n")
    try backup.folder.write("b/state/agent.env", "agent of the destination")
    try backup.folder.write("b/state/folder/kept", "kept")
  }

  private func volume(_ name: String, _ content: [String: String] = [:]) throws -> String {
    if try engine.call("volume", "exists", name).code != 0 { try engine.run("volume", "create", name) }
    let folder = try engine.mountpoint(name)
    for (file, text) in content { try Files.replace("\(folder)/\(file)", with: Array(text.utf8), mode: 0o640) }
    return folder
  }

  private func harness(_ keys: [String: JSONValue] = [:], users: (String, String)? = nil) throws -> Harness {
    func endpoint(_ path: String, _ module: String, _ user: String?) -> JSONValue {
      .object(["path": .string(path), "module": .string(module)].merging(user.map { ["user": .string($0)] } ?? [:]) { $1 })
    }
    return try backup.harness(
      keys: keys, programs: backup.folder("programs"), from: endpoint(backup.from, from, users?.0), to: endpoint(backup.to, to, users?.1))
  }

  private func rules(_ include: String, exclude: String = "") throws -> [String: JSONValue] {
    [
      "include-file": .string(try backup.folder.write("include", include)),
      "exclude-file": .string(try backup.folder.write("exclude", exclude)),
    ]
  }

  @Test("a rootful module is backed up as NethServer does, and restored beside an instance that keeps who it is")
  func rootful() throws {
    let source = try volume("\(from)-data", ["page": "page", "page.tmp": "temporary"])
    _ = try volume("\(from)-other", ["cache": "cache"])
    _ = try volume("stranger-\(from)", ["page": "of somebody else"])
    chown("\(source)/page", 33, 44)
    try backup.folder.write("a/state/folder/moved", "moved")
    let harness = try harness(rules("volumes/data\nstate/*.dump\nstate/folder\n", exclude: "*.tmp\n"))
    for side in Side.allCases { #expect(try backup.errors(harness, side) == []) }
    let digests = try backup.move(harness) { _ = try volume("\(from)-data", ["new": "new"]) }
    #expect(digests.source == digests.destination)
    let target = try engine.mountpoint("\(to)-data")
    #expect(Files.names(in: target) == ["new", "page"])
    var status = stat()
    #expect(stat("\(target)/page", &status) == 0 && status.st_uid == 33 && status.st_gid == 44)
    #expect(try engine.call("volume", "exists", "\(to)-other").code == 1)
    #expect(Files.names(in: backup.to) == ["agent.env", "environment", "environment.restore-module", "folder", "ledger.dump"])
    #expect(Files.names(in: "\(backup.to)/folder") == ["kept", "moved"])
    #expect(try backup.folder.read("b/state/environment") == "MODULE_UUID=two\n")
    #expect(try backup.folder.read("b/state/environment.restore-module") == "MODULE_UUID=one\n")
    #expect(try backup.folder.read("b/state/agent.env") == "agent of the destination")
    let listed = try backup.restic("ls", "latest").output.split(separator: "\n").map(String.init)
    #expect(listed.contains("/state/environment") && listed.contains("/volumes/data/page"))
    #expect(Files.names(in: backup.folder("b")) == ["state"])
    #expect(Files.names(in: Files.parent(of: target)) == ["_data"])
  }

  @Test("a rootless module's volumes have plain names, and its owners are those that its containers see")
  func rootless() throws {
    let source = try volume(from, ["page": "page"])
    for path in [backup.from, backup.to, source] { try #require(Command(["chown", "-R", "daemon:daemon", path]).run().succeeded) }
    _ = try volume(from, ["of-root": ""])
    chown("\(source)/of-root", 1, 1)
    let harness = try harness(rules("volumes/\(from)\n"), users: ("daemon", "bin"))
    // One Podman cannot have two volumes of one name: the source's goes when it is stored.
    try harness.prepare()
    try harness.call(.source, .freeze)
    try #require(backup.errors(harness, .source) == [])
    let kept = backup.folder("kept")
    try #require(Command(["cp", "-a", source, kept]).run().succeeded)
    let refused = failure { try harness.pass(final: true) }
    #expect(refused?.class == .conflict, "\(String(describing: refused))")
    #expect(refused?.message.contains("the volume \(from) exists and is not empty") == true)
    harness.killBoth()
    let replacing = try self.harness(
      rules("volumes/\(from)\n").merging(["replace": true]) { $1 }, users: ("daemon", "bin"))
    let digests = try replacing.moveUntilVerified()
    #expect(digests.source == digests.destination)
    try replacing.call(.destination, .activate)
    var status = stat()
    #expect(stat("\(source)/page", &status) == 0 && status.st_uid == 2 && status.st_gid == 2)
    #expect(stat("\(backup.to)/environment.restore-module", &status) == 0 && status.st_uid == 2)
    try replacing.call(.destination, .discard)
    #expect(stat("\(source)/page", &status) == 0 && status.st_uid == 1)
    #expect(try Oracle.describe(source) == Oracle.describe(kept))
  }

  @Test("owners are seen through a view's map, and what is made there gets the disk's, which nobody else sees mounted")
  func view() throws {
    let map = try IDMap(
      users: [.init(inside: 0, outside: 7000, count: 1), .init(inside: 1, outside: 200_000, count: 1000)],
      groups: [.init(inside: 0, outside: 7000, count: 1), .init(inside: 1, outside: 300_000, count: 1000)])
    try backup.folder.write("disk/file", "")
    try Files.makeFolder(backup.folder("seen"))
    chown(backup.folder("disk"), 7000, 7000)
    chown(backup.folder("disk/file"), 200_032, 300_043)
    let seen = backup.folder("seen")
    let said = try MountView.run([.init(backup.folder("disk"), at: seen, owners: map)]) {
      try Command(["sh", "-c", "cd '\(seen)' && stat -c '%u:%g' . file && touch made && chown 5:6 made"]).run()
    }
    #expect(said.output == "0:0\n33:44\n", "\(said.reason)")
    var status = stat()
    #expect(stat(backup.folder("disk/made"), &status) == 0 && status.st_uid == 200_004 && status.st_gid == 300_005)
    #expect(Files.names(in: seen).isEmpty)
  }

  @Test("a run that goes back removes the volumes that it made, and leaves the state folder as it was")
  func goesBack() throws {
    _ = try volume("\(from)-data", ["page": "page"])
    let before = try Oracle.describe(backup.to)
    let harness = try harness()
    _ = try harness.moveUntilVerified()
    try harness.call(.destination, .activate)
    try #require(engine.call("volume", "exists", "\(to)-data").code == 0)
    harness.killBoth()
    for _ in 0..<2 { try harness.call(.destination, .discard) }
    #expect(try engine.call("volume", "exists", "\(to)-data").code == 1)
    #expect(try Oracle.describe(backup.to) == before)
  }

  @Test("a container that runs with a target's volume is named before anything is swapped")
  func running() throws {
    _ = try volume("\(from)-data", ["page": "page"])
    _ = try volume("\(to)-data")
    let harness = try harness()
    _ = try harness.moveUntilVerified()
    try engine.start("box-\(to)", ["--volume", "\(to)-data:/data"])
    defer { _ = try? engine.call("rm", "--force", "--time", "0", "box-\(to)") }
    let error = failure { try harness.call(.destination, .activate) }
    #expect(error?.message.contains("box-\(to) runs with the volume \(to)-data") == true, "\(String(describing: error))")
    #expect(try backup.folder.read("b/state/environment") == "MODULE_UUID=two\n")
    #expect(!Files.exists("\(backup.to)/ledger.dump"))
  }

  @Test("no rule can leave out state/environment, and a volume that is not there is named in check")
  func refused() throws {
    let harness = try harness(rules("state/*.dump\n", exclude: "environment\n"))
    try harness.prepare()
    #expect(failure { try harness.pass() }?.message.contains("leave out state/environment") == true)
    #expect(
      try backup.errors(self.harness(rules("volumes/gone/sub\n")), .source).first?.contains("there is no volume \(from)-gone") == true)
  }
}
