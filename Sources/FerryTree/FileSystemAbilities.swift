import CLinux
import FerrySystem
import Glibc

/// What a folder's file system, and this process's rights in it, can hold; found by trying, as `FileSystemProbe` does.
public struct FileSystemAbilities: Sendable, Codable, Hashable {
  /// Owners, devices, ACLs, attributes.
  public var form = TreeForm()
  /// Holes stay holes.
  public var holes = false
  /// `A` and `a` are two names, and so are two ways to write `é`.
  public var distinguishesNames = false
  /// Names of any bytes, not just of text.
  public var anyBytes = false
  /// Bytes of a name.
  public var longestName = 0
  /// Bytes of a link's target; 0 if there are no links.
  public var longestLink = 0
  /// The highest owner.
  public var largestID: UInt32 = 0
  /// Bytes of one attribute's value.
  public var largestAttribute = 0
  /// Capabilities of programs.
  public var capabilities = false
  /// Several names of one file.
  public var hardLinks = false
  /// Fifos.
  public var pipes = false
  /// Bytes of a file.
  public var largestFile: Int64 = 0
  /// Times to the nanosecond.
  public var nanoseconds = false
  /// The earliest and the latest time of a file, of those that were tried.
  public var earliest: Int64 = 0
  /// The latest one.
  public var latest: Int64 = 0

  /// Tries it in a folder of its own below `parent`, which is gone again when this returns.
  public init(in parent: String) throws {
    form = try FileSystemProbe.form(in: parent)
    let folder = try Files.makeOwnFolder("\(parent)/.ferry-probe", orSay: "cannot write in \(parent)")
    defer { try? TreeRemoval.remove(folder) }
    let probe = try TreeFolder(root: folder)
    try tryNames(probe)
    try tryFiles(probe)
    try tryMetadata(probe)
  }

  private static func makes(_ folder: TreeFolder, _ name: [UInt8]) -> Bool {
    let number = withCString(name) { clinux_openat(folder.descriptor.number, $0, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600) }
    guard number >= 0 else { return false }
    close(number)
    // What it says it is called has to be what it was called.
    return (try? folder.names().contains(name)) ?? false
  }

  private static func makesNode(_ folder: TreeFolder, _ name: String, _ type: mode_t) -> Bool {
    withCString(Array(name.utf8)) { mknodat(folder.descriptor.number, $0, type | 0o600, 0) == 0 }
  }

  private mutating func tryNames(_ folder: TreeFolder) throws {
    distinguishesNames = ["case", "CASE", "\u{e9}", "e\u{301}"].allSatisfy { Self.makes(folder, Array($0.utf8)) }
    anyBytes = [[0xff, 0xfe], [0x6e, 0x0a], Array("end ".utf8), Array("a:b\\c*?".utf8)].allSatisfy { Self.makes(folder, $0) }
    longestName = [255, 254, 250, 200, 143, 140, 100, 64].first { Self.makes(folder, Array(repeating: 0x6e, count: $0)) } ?? 0
    longestLink =
      [4095, 1023, 255, 59].first { length in
        withCString(Array(repeating: 0x78, count: length)) { target in
          withCString(Array("link-\(length)".utf8)) { symlinkat(target, folder.descriptor.number, $0) == 0 }
        }
      } ?? 0
    hardLinks = withCString(Array("case".utf8)) { from in
      withCString(Array("again".utf8)) { linkat(folder.descriptor.number, from, folder.descriptor.number, $0, 0) == 0 }
    }
    pipes = Self.makesNode(folder, "fifo", S_IFIFO)
    form.sockets = Self.makesNode(folder, "socket", S_IFSOCK)
  }

  private mutating func tryFiles(_ folder: TreeFolder) throws {
    let file = try Descriptor.open("\(String(decoding: folder.shortPath([]), as: UTF8.self))/sparse", O_RDWR | O_CREAT)
    var status = stat()
    holes =
      ftruncate(file.number, 4 << 20) == 0 && pwrite(file.number, [1], 1, 3 << 20) == 1 && fstat(file.number, &status) == 0
      && Int64(status.st_blocks) * 512 < 2 << 20 && clinux_seek_data(file.number, 0) > 0
    largestFile = [44, 41, 40, 32, 31].map { Int64(1) << $0 }.first { ftruncate(file.number, Int($0 - 1)) == 0 }.map { $0 - 1 } ?? 0
    ftruncate(file.number, 0)
  }

  private mutating func tryMetadata(_ folder: TreeFolder) throws {
    let path = "\(String(decoding: folder.shortPath([]), as: UTF8.self))/case"
    func set(_ name: String, _ value: [UInt8]) -> Bool {
      value.withUnsafeBytes { clinux_setxattr(path, name, $0.baseAddress, UInt64($0.count)) } == 0
    }
    largestAttribute =
      [65536, 60_000, 32_000, 16_000, 8000, 3900, 3000, 1000, 100].first { set("user.ferry", Array(repeating: 0x61, count: $0)) } ?? 0
    largestID = [0xffff_fffd, 0x7fff_ffff, 0x7fff_fffe, 165_535, 65535, 65534, 65533].first { chown(path, $0, $0) == 0 } ?? 0
    // cap_net_bind_service; after the owner, which would take it away.
    capabilities = set("security.capability", [1, 0, 0, 2, 0, 4, 0, 0] + Array(repeating: 0, count: 12))
    func keeps(_ seconds: Int, _ fraction: Int) -> Bool {
      let times = [timespec(tv_sec: 0, tv_nsec: 0), timespec(tv_sec: seconds, tv_nsec: fraction)]
      guard utimensat(AT_FDCWD, path, times, 0) == 0, let entry = try? folder.entry(Array("case".utf8)) else { return false }
      return entry.modified == FileTime(seconds: Int64(seconds), nanoseconds: UInt32(fraction))
    }
    nanoseconds = keeps(1_000_000_000, 123_456_789)
    earliest = Int64([-62_135_596_800, -2_147_483_648, -1, 0, 315_532_800].first { keeps($0, 0) } ?? 1_000_000_000)
    latest = Int64([253_402_300_799, 15_032_385_535, 4_294_967_295, 2_147_483_647].first { keeps($0, 0) } ?? 1_000_000_000)
  }
}
