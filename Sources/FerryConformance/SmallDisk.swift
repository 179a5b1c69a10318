import FerrySystem
import Glibc

/// A disk in memory over a folder, too small at first. Goes with its last reference.
public final class SmallDisk: Sendable {
  private let path: String

  /// Mounts it; throws `unsupported` where that is not possible.
  public init(on path: String, kilobytes: Int) throws {
    self.path = path
    guard geteuid() == 0 else { throw FerryError(.unsupported, "it needs root, to mount a small disk") }
    guard mount("ferry-kit", path, "tmpfs", 0, "size=\(kilobytes)k") == 0 else {
      throw FerryError(.unsupported, "no small disk can be mounted here: \(String(cString: strerror(errno)))")
    }
  }

  deinit { umount2(path, Int32(MNT_DETACH)) }

  /// Makes it large enough for anything that a check moves.
  public func grow() throws {
    guard mount("ferry-kit", path, "tmpfs", UInt(MS_REMOUNT), "size=256m") == 0 else {
      throw FerryError(errno: errno, "cannot enlarge the disk at \(path)")
    }
  }
}

/// The small disk of a check, once there is one.
public final class DiskOfCheck: Sendable {
  private let disk = Lock<SmallDisk?>(nil)

  /// None yet.
  public init() {}

  /// Mounts it; answers why that is not possible, if it is not.
  public func take(on path: String, kilobytes: Int) throws -> String? {
    do { try disk.withLock { $0 = try SmallDisk(on: path, kilobytes: kilobytes) } } catch let error as FerryError
      where error.class == .unsupported
    {
      return error.message
    }
    return nil
  }

  /// Makes it large.
  public func grow() throws { try disk.withLock { $0 }?.grow() }

  /// Takes it away.
  public func end() { disk.withLock { $0 = nil } }
}
