import Glibc

/// The waits between looks at something that gives no notice of a change: brief at first, since much is so at once, and the wait is part of
/// an outage.
struct Pause {
  private var microseconds: UInt32 = 20_000

  mutating func wait() {
    usleep(microseconds)
    microseconds = min(microseconds * 2, 200_000)
  }
}
