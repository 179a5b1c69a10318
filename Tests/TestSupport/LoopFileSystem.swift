import CLinux
import FerrySystem
import Glibc

/// A file system of its own, on a loop device below a temporary folder; unmounted with its last reference.
public final class LoopFileSystem: Sendable {
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
  private let image: String
  private let folder: TemporaryFolder

  /// Makes one and mounts it on a folder, or on one of its own.
  public init(_ kind: Kind, in folder: TemporaryFolder, on path: String? = nil, megabytes: Int = 600) throws {
    self.folder = folder
    self.path = path ?? folder("mount-\(kind.rawValue)")
    image = folder("image-\(kind.rawValue)")
    try Files.makeFolder(self.path, mode: 0o755)
    for command in [["truncate", "-s", "\(megabytes)M", image], kind.make + [image], ["mount", "-o", "loop", image, self.path]] {
      let done = try Command(command).run()
      guard done.succeeded else { throw FerryError(.io, "\(command) failed: \(done.reason)") }
    }
  }

  deinit { unmount() }

  /// Unmounts it now.
  public func unmount() { _ = try? Command(["umount", "-l", path]).run() }

  /// Turns one bit on the disk where a text stands in a file, and once more turns it back. A file system with sums of its content cannot read the
  /// file then.
  public func rot(_ text: String, of file: String) throws {
    let open = try Descriptor.open(file, O_RDONLY)
    guard clinux_syncfs(open.number) == 0 else { throw FerryError(.io, "cannot flush the disk") }
    let found = try Command(["grep", "--byte-offset", "--only-matching", "--text", "--max-count=1", "[^ ]\(text.dropFirst())", image]).run()
    guard let place = found.output.split(separator: ":").first.flatMap({ Int($0) }) else {
      throw FerryError(.internal, "the text is not on the disk: \(found.reason)")
    }
    let disk = try Descriptor.open(image, O_RDWR)
    var byte: UInt8 = 0
    guard pread(disk.number, &byte, 1, place) == 1 else { throw FerryError(errno: errno, "cannot read the disk") }
    byte ^= 1
    guard pwrite(disk.number, &byte, 1, place) == 1 else { throw FerryError(errno: errno, "cannot write to the disk") }
    // What is in memory is not read from the disk.
    _ = posix_fadvise(open.number, 0, 0, Int32(POSIX_FADV_DONTNEED))
  }

  /// Whether this user, machine and kernel have it.
  public static func works(_ kind: Kind) -> Bool {
    guard geteuid() == 0, (try? Programs.find(kind.make[0])) != nil, Files.exists("/dev/loop-control") else { return false }
    let known = (try? Files.read("/proc/filesystems")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    guard known.split(separator: "\n").contains(where: { $0.split(separator: "\t").last == kind.name[...] }) else { return false }
    return (try? TemporaryFolder()).map { (try? LoopFileSystem(kind, in: $0)) != nil } ?? false
  }
}
