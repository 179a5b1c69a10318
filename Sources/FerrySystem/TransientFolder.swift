import CLinux
import Glibc

/// A folder that nobody else has or can read, for as long as somebody holds this object. What a process that was killed has left, the next one that
/// makes such a folder removes: a lock in it, which the kernel lets go of when its holder dies, tells the dead from the living.
public final class TransientFolder: Sendable {
  /// Where it is: `beginning` and a few letters.
  public let path: String
  private let lock: Descriptor

  /// Makes one, and removes what the dead have left under that beginning. `failure` begins the error.
  public init(_ beginning: String, orSay failure: @autoclosure () -> String) throws {
    Self.sweep(beginning)
    while true {
      let path = try Files.makeOwnFolder(beginning, orSay: failure())
      let lock = try Descriptor.open(Self.lock(of: path), O_RDWR | O_CREAT)
      let isHeld = flock(lock.number, LOCK_EX | LOCK_NB) == 0
      guard isHeld || errno == EWOULDBLOCK || errno == EINTR else { throw FerryError(errno: errno, failure()) }
      // One that sweeps just now may have taken it for left behind.
      if isHeld && Files.exists(Self.lock(of: path)) {
        (self.path, self.lock) = (path, lock)
        return
      }
    }
  }

  deinit { remove() }

  /// Removes it early.
  public func remove() { try? Files.remove(path) }

  private static func lock(of folder: String) -> String { "\(folder)/.held" }

  /// The lock's own name tells that a folder is Ferry's, whatever else begins like that.
  private static func sweep(_ beginning: String) {
    let parent = Files.parent(of: beginning)
    for name in Files.names(in: parent) where "\(parent)/\(name)".hasPrefix("\(beginning)-") {
      let folder = "\(parent)/\(name)"
      var status = stat()
      guard lstat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid(),
        let lock = try? Descriptor.open(Self.lock(of: folder), O_RDWR | O_NOFOLLOW), flock(lock.number, LOCK_EX | LOCK_NB) == 0
      else { continue }
      withExtendedLifetime(lock) { try? Files.remove(folder) }
    }
  }
}
