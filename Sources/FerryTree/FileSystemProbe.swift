import CLinux
import FerrySystem
import Glibc

/// What a folder's file system and this process's rights can hold, found by trying.
public enum FileSystemProbe {
  /// Tries it in a folder of its own below `parent`, which is gone again when this returns.
  public static func form(in parent: String) throws -> TreeForm {
    let folder = try Files.makeOwnFolder("\(parent)/.ferry-probe", orSay: "cannot write in \(parent)")
    defer { try? Files.remove(folder) }
    let file = "\(folder)/file"
    _ = try Descriptor.open(file, O_WRONLY | O_CREAT)
    var form = TreeForm()
    // An owner that surely is not ours; in a user namespace without a map for it this fails, and so would rsync.
    form.owners = chown(file, 65533, 65533) == 0
    form.devices = mknod("\(folder)/device", S_IFCHR | 0o600, makedev(1, 3)) == 0
    form.accessControl = set(ExtendedAttributes.accessControl[0], Self.accessList, file)
    form.attributes = !set("user.ferry", [1], file) ? .none : set("trusted.ferry", [1], file) ? .all : .user
    form.fractions = keepsFractions(file)
    return form
  }

  private static func keepsFractions(_ path: String) -> Bool {
    let time = timespec(tv_sec: 1_000_000_000, tv_nsec: 123_456_789)
    var status = stat()
    return utimensat(AT_FDCWD, path, [time, time], 0) == 0 && lstat(path, &status) == 0 && status.st_mtim.tv_nsec == time.tv_nsec
  }

  /// `u::rw,u:1:r,g::r,m::r,o::-`.
  private static let accessList = ExtendedAttributes.accessList([
    (1, 6, .max), (2, 4, 1), (4, 4, .max), (0x10, 4, .max), (0x20, 0, .max),
  ])

  private static func set(_ name: String, _ value: [UInt8], _ path: String) -> Bool {
    value.withUnsafeBytes { clinux_setxattr(path, name, $0.baseAddress, UInt64($0.count)) } == 0
  }

  private static func makedev(_ major: UInt64, _ minor: UInt64) -> dev_t { dev_t((major << 8) | minor) }
}
