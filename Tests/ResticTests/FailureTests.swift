import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// What breaks in the middle: disks that fill up, and processes that are killed.
@Suite struct FailureTests {
  let backup: Backup
  var folder: TemporaryFolder { backup.folder }

  init() throws { backup = try Backup() }

  /// Bytes of which restic cannot save any.
  private func noise(_ path: String, megabytes: Int) throws {
    try Files.makeFolder(folder(Files.parent(of: path)))
    let file = try Descriptor.open(folder(path), O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
    var command = Command(["head", "-c", "\(megabytes << 20)", "/dev/urandom"])
    command.output = .descriptor(file.number)
    guard try command.run().succeeded else { throw FerryError(.io, "there is no noise") }
  }

  private static let canMount = LoopFileSystem.works(.ext4)

  @Test(
    "a repository whose disk runs full is an error with a next step, and with room the same run goes on",
    .enabled(if: canMount, "no loop device can be mounted"))
  func fullRepository() throws {
    let disk = try LoopFileSystem(.ext4, in: folder, megabytes: 120)
    try noise("mount-ext4/ballast", megabytes: 80)
    try noise("a/state/noise", megabytes: 40)
    let harness = try backup.harness("\(disk.path)/vault", keys: ["check": "structure"])
    try harness.prepare()
    let error = failure { try harness.pass() }
    #expect(error?.class == .io && error?.message.contains("no space left") == true, "\(String(describing: error))")
    #expect(error?.hint.hasPrefix("free space") == true)
    try Files.remove("\(disk.path)/ballast")
    let digests = try backup.move(harness)
    #expect(digests.source == digests.destination)
    #expect(try Oracle.describe(backup.to) == Oracle.describe(backup.from))
  }

  @Test("a target whose disk runs full leaves what was there", .enabled(if: canMount, "no loop device can be mounted"))
  func fullTarget() throws {
    let disk = try LoopFileSystem(.ext4, in: folder, megabytes: 24)
    try noise("a/state/noise", megabytes: 40)
    let to = "\(disk.path)/state"
    try Files.makeFolder(to)
    try Files.replace("\(to)/precious", with: Array("precious".utf8))
    let harness = try backup.harness(keys: ["replace": true], to: ["path": .string(to)])
    try harness.prepare()
    try harness.pass()
    let error = failure { try harness.pass(final: true) }
    #expect(error?.class == .io && error?.message.contains("no space left") == true, "\(String(describing: error))")
    harness.killBoth()
    for side in Side.allCases { try harness.call(side, .discard) }
    #expect(Files.names(in: to) == ["precious"])
    #expect(Files.names(in: disk.path) == ["lost+found", "state"])
    #expect(try backup.snapshots().isEmpty)
  }

  @Test("a restic that is killed in the middle is an error, its lock is in nobody's way, and the next run is whole")
  func killedRestic() throws {
    try noise("a/state/noise", megabytes: 120)
    // Kills the first backup as soon as the first pack is there.
    try folder.write(
      "programs/restic",
      """
      #!/bin/sh
      PATH=${PATH#*:}
      case "$* " in *"backup --json"*) [ -e '\(folder("killed"))' ] && exec restic "$@" ;; *) exec restic "$@" ;; esac
      restic "$@" &
      while kill -0 $! && [ -z "$(find '\(backup.repository)/data' -type f ! -name '*tmp*')" ]; do sleep 0.01; done
      kill -KILL $! && : > '\(folder("killed"))'
      exec 2>/dev/null
      wait $!
      """, mode: 0o755)
    let harness = try backup.harness(programs: folder("programs"))
    try harness.prepare()
    let error = failure { try harness.pass() }
    #expect(Files.exists(folder("killed")))
    #expect(error?.message.contains("ended by signal 9") == true, "\(String(describing: error))")
    #expect(!Files.names(in: "\(backup.repository)/locks").isEmpty)
    #expect(try backup.snapshots().isEmpty)
    let again = try backup.harness(keys: ["keep": ["last": 1], "check": "all"])
    let digests = try backup.move(again)
    #expect(digests.source == digests.destination)
    #expect(again.log.contains("locked by a process that is gone"))
    #expect(Files.names(in: "\(backup.repository)/locks").isEmpty)
  }
}
