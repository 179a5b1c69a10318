import Glibc

/// Watches the children of this process: calls back, about once a second, when they have read more since.
public final class ChildActivity: Sendable {
  private let over = Signal()
  private let done = Signal()

  /// Watches until `end`; called back with the bytes read so far.
  public init(_ active: @escaping @Sendable (Int64) -> Void) {
    let (over, done) = (over, done)
    Threads.detach {
      var last: Int64 = 0
      while !over.wait(atMost: .seconds(1)) {
        let now = Self.traffic(of: getpid(), depth: 0)
        if now > last { active(now) }
        last = max(now, last)
      }
      done.raise()
    }
  }

  /// No callback comes after this.
  public func end() {
    over.raise()
    done.wait()
  }

  private static func traffic(of process: Int32, depth: Int) -> Int64 {
    guard depth < 6 else { return 0 }
    var sum: Int64 = 0
    for task in Files.names(in: "/proc/\(process)/task") {
      guard let children = try? Files.read("/proc/\(process)/task/\(task)/children") else { continue }
      for child in String(decoding: children, as: UTF8.self).split(separator: " ").compactMap({ Int32($0) }) {
        sum += traffic(of: child, depth: depth + 1)
        guard let counters = try? Files.read("/proc/\(child)/io") else { continue }
        for line in String(decoding: counters, as: UTF8.self).split(separator: "\n") where line.hasPrefix("rchar: ") {
          sum += Int64(line.dropFirst(7)) ?? 0
        }
      }
    }
    return sum
  }
}
