import CLinux
import FerrySystem
import Glibc

/// Folders that are seen at other places, and by other owners: for programs that take the layout of a tree as it is. Only root can make one.
public enum MountView {
  /// A folder that is seen at another one.
  public struct Mount: Sendable {
    var folder: String
    var at: String
    var owners: IDMap?

    /// With a map, owners are seen as they are in the user namespace, and what is made gets those of the disk.
    public init(_ folder: String, at: String, owners: IDMap? = nil) {
      self.folder = folder
      self.at = at
      self.owners = owners
    }
  }

  /// Runs work on a thread to which, and to whose programs, these mounts are visible. They go with the thread; nobody else ever sees them.
  public static func run<Value: Sendable>(_ mounts: [Mount], _ work: @escaping @Sendable () throws -> Value) throws -> Value {
    let result = Lock<Result<Value, any Error>?>(nil)
    let done = Signal()
    Threads.detach {
      let outcome = Result {
        try enter(mounts)
        return try work()
      }
      result.withLock { $0 = outcome }
      done.raise()
    }
    done.wait()
    guard let outcome = result.withLock({ $0 }) else { throw FerryError(.internal, "a thread ended without a result") }
    return try outcome.get()
  }

  private static func enter(_ mounts: [Mount]) throws {
    func check(_ result: Int32, _ what: String) throws { if result < 0 { throw FerryError(errno: -result, what) } }
    try check(clinux_private_mounts(), "cannot have mounts of Ferry's own")
    for mount in mounts {
      let namespace = try mount.owners.map { map in
        let number = clinux_user_namespace(lines(map.users), lines(map.groups))
        try check(number, "cannot make a user namespace")
        return Descriptor(number)
      }
      try check(
        clinux_bind(mount.folder, mount.at, namespace?.number ?? -1),
        "cannot show \(mount.folder) at another place\(namespace == nil ? "" : " with other owners")")
    }
  }

  /// What the disk has stands inside of the namespace, what is seen outside.
  private static func lines(_ spans: [IDMap.Span]) -> String { spans.map { "\($0.outside) \($0.inside) \($0.count)\n" }.joined() }
}
