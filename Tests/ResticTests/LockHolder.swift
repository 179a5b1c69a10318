import FerrySystem
import Glibc
import TestSupport

/// A restic at work that has a repository for itself, for as long as the test likes: what it wants to read is a pipe that nobody writes to.
final class LockHolder: Sendable {
  private let backup: Backup
  private let process: ChildProcess
  private let moved: [(pack: String, away: String)]

  /// Makes the repository, with one snapshot in it.
  init(_ backup: Backup) throws {
    self.backup = backup
    try backup.folder.write("a/state/file", "content")
    guard try backup.restic("init").succeeded, try backup.restic("backup", backup.from).succeeded else {
      throw FerryError(.internal, "there is no repository")
    }
    moved = try backup.packs().enumerated().map { number, pack in
      let away = backup.folder("pack\(number)")
      guard rename(pack, away) == 0, mkfifo(pack, 0o600) == 0 else { throw FerryError(errno: errno, "cannot take \(pack) away") }
      return (pack, away)
    }
    let null = try Descriptor.open("/dev/null", O_RDWR)
    process = try ChildProcess.spawn(
      ["restic", "-r", backup.repository, "check", "--read-data", "--no-cache"],
      environment: ["RESTIC_PASSWORD": "a word that nobody knows"], descriptors: [0: null.number, 1: null.number, 2: null.number])
    try waitFor("the lock") { !locks.isEmpty }
  }

  var pid: Int32 { process.pid }

  /// The repository's locks.
  var locks: [String] { Files.names(in: "\(backup.repository)/locks").filter { !$0.contains("tmp") } }

  /// Kills it, and makes the repository whole again.
  func end() throws {
    process.signalGroup(SIGKILL)
    process.wait()
    for (pack, away) in moved where rename(away, pack) != 0 { throw FerryError(errno: errno, "cannot put \(pack) back") }
  }
}
