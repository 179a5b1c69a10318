import FerrySystem
import Glibc

/// A host leads a session; what it and its plugin started belongs to it, whatever process groups they made.
enum Sessions {
  /// Kills this process and everything in its session.
  static func killOwn() -> Never {
    if getsid(0) == getpid() {
      // The others go first: once the leader is dead nobody would look for them.
      killMembers(of: getpid())
      kill(0, SIGKILL)
    }
    _exit(137)
  }

  /// Kills the members of a session, all but its leader, until none is left. The leader must not be reaped yet, so that its number means
  /// this session.
  static func killMembers(of leader: Int32) {
    for _ in 0..<20 {
      let members = members(of: leader)
      if members.isEmpty { return }
      members.forEach { kill($0, SIGKILL) }
    }
  }

  private static func members(of leader: Int32) -> [Int32] {
    Files.names(in: "/proc").compactMap { Int32($0) }.filter { pid in
      guard pid != leader, getsid(pid) == leader, let bytes = try? Files.read("/proc/\(pid)/stat") else { return false }
      let fields = String(decoding: bytes, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
      return fields.first != "Z" && fields.first != "X"
    }
  }
}
