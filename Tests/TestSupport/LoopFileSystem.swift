import FerrySystem
import Glibc

/// A file system of its own, on a loop device below a temporary folder; unmounted with its last reference.
public final class LoopFileSystem {
  /// What is made.
  public enum Kind: String, CaseIterable, Sendable {
    case xfs, btrfs, ext4
    /// ext4 as it was: no times beyond 2038 or below a second.
    case small

    fileprivate var make: [String] {
      switch self {
      case .xfs: ["mkfs.xfs", "-q", "-m", "reflink=1"]
      case .btrfs: ["mkfs.btrfs", "-q"]
      case .ext4: ["mkfs.ext4", "-q"]
      case .small: ["mkfs.ext4", "-q", "-I", "128"]
      }
    }
    fileprivate var name: String { self == .small ? "ext4" : rawValue }
  }

  /// The folder that it is mounted on.
  public let path: String
  private let folder: TemporaryFolder

  /// Makes one of a size, and mounts it.
  public init(_ kind: Kind, in folder: TemporaryFolder, megabytes: Int = 600) throws {
    self.folder = folder
    path = folder("mount-\(kind.rawValue)")
    let image = folder("image-\(kind.rawValue)")
    try Files.makeFolder(path, mode: 0o755)
    for command in [["truncate", "-s", "\(megabytes)M", image], kind.make + [image], ["mount", "-o", "loop", image, path]] {
      let done = try Command(command).run()
      guard done.succeeded else { throw FerryError(.io, "\(command) failed") }
    }
  }

  deinit { _ = try? Command(["umount", "-l", path]).run() }

  /// Whether this user, machine and kernel have it.
  public static func works(_ kind: Kind) -> Bool {
    guard geteuid() == 0, (try? Programs.find(kind.make[0])) != nil, Files.exists("/dev/loop-control") else { return false }
    let known = (try? Files.read("/proc/filesystems")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    guard known.split(separator: "\n").contains(where: { $0.split(separator: "\t").last == kind.name[...] }) else { return false }
    return (try? TemporaryFolder()).map { (try? LoopFileSystem(kind, in: $0)) != nil } ?? false
  }
}
