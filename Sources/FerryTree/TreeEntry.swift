import Glibc

/// What an entry of a tree is.
public enum EntryKind: UInt8, Sendable, Codable, CaseIterable {
  case file = 1
  case folder = 2
  case link = 3
  case fifo = 4
  case socket = 5
  case characterDevice = 6
  case blockDevice = 7

  package init?(mode: UInt32) {
    switch mode & S_IFMT {
    case S_IFREG: self = .file
    case S_IFDIR: self = .folder
    case S_IFLNK: self = .link
    case S_IFIFO: self = .fifo
    case S_IFSOCK: self = .socket
    case S_IFCHR: self = .characterDevice
    case S_IFBLK: self = .blockDevice
    default: return nil
    }
  }

  /// Whether it names a device.
  public var isDevice: Bool { self == .characterDevice || self == .blockDevice }
}

/// A moment as the file system keeps it; seconds may be negative.
public struct FileTime: Sendable, Hashable, Comparable {
  /// Since 1970.
  public var seconds: Int64
  /// 0 to 999,999,999.
  public var nanoseconds: UInt32

  /// A moment.
  public init(seconds: Int64, nanoseconds: UInt32) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }

  init(_ time: timespec) {
    seconds = Int64(time.tv_sec)
    nanoseconds = UInt32(time.tv_nsec)
  }

  /// Now, by the clock that the kernel stamps files with: it is a little behind the precise one.
  public static var now: FileTime {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME_COARSE, &time)
    return FileTime(time)
  }

  /// Earlier.
  public static func < (left: FileTime, right: FileTime) -> Bool {
    (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
  }
}

/// What makes a file one file, whatever it is called.
public struct FileIdentity: Sendable, Hashable {
  /// The file system.
  public var device: UInt64
  /// The file in it.
  public var inode: UInt64
}

/// One entry of a folder: its name and what `lstat` says.
public struct TreeEntry: Sendable {
  /// The name in its folder: any bytes but `/` and NUL. Empty for the root of a walk.
  public let name: [UInt8]
  /// What it is.
  public let kind: EntryKind
  /// Permissions with setuid, setgid and sticky.
  public let mode: UInt32
  /// Numeric owner.
  public let owner: UInt32
  /// Numeric group.
  public let group: UInt32
  /// Bytes of content of a file; length of a link's target.
  public let size: Int64
  /// Bytes of the file system that the content takes; less than its size where there are holes.
  public let allocated: Int64
  /// Last change of content.
  public let modified: FileTime
  /// Last change of content or metadata.
  public let changed: FileTime
  /// What makes it one file.
  public let identity: FileIdentity
  /// How many names it has, in this tree or elsewhere.
  public let names: UInt64
  /// The device that a device file names.
  public let deviceNumber: UInt64

  package init?(name: [UInt8], status: stat) {
    guard let kind = EntryKind(mode: status.st_mode) else { return nil }
    self.name = name
    self.kind = kind
    mode = status.st_mode & 0o7777
    owner = status.st_uid
    group = status.st_gid
    size = Int64(status.st_size)
    allocated = Int64(status.st_blocks) * 512
    modified = FileTime(status.st_mtim)
    changed = FileTime(status.st_ctim)
    identity = FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    names = UInt64(status.st_nlink)
    deviceNumber = UInt64(status.st_rdev)
  }

  /// Whether it may have other names that count as the same file.
  public var isShared: Bool { names > 1 && kind != .folder && !Self.isWhiteout(kind, deviceNumber) }

  /// A deletion in a layer, which is nothing but a name. Kernels make many of them names of one device file, and keep one more name elsewhere.
  static func isWhiteout(_ kind: EntryKind, _ device: UInt64) -> Bool { kind == .characterDevice && device == 0 }
}
