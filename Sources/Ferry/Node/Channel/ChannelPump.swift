import CLinux
import FerrySystem
import Glibc

/// Moves the bytes between a plugin and the other node, both ways, and counts them: what left one plugin must have reached the other. The end
/// of one direction is passed on; it never means success.
protocol ChannelMover: Sendable {
  func start()
  /// Waits until both directions have ended; the plugin must have let go of its end. Throws what broke the channel.
  func finish() throws -> ChannelCounts
  /// Bytes so far, both ways.
  var moved: Int64 { get }
  /// Ends both directions at once.
  func abort()
}

/// Bytes that this end's plugin wrote into a channel, and that were handed to it.
struct ChannelCounts: Sendable, Codable, Hashable {
  var sent: Int64 = 0
  var received: Int64 = 0
  /// Bytes that came when the plugin no longer read.
  var refused: Int64 = 0
  /// Bytes that left this end after compression, with the headers of blocks.
  var wire: Int64 = 0
}

/// Between two agents on one machine: inside the kernel.
final class ChannelPump: ChannelMover {
  private let plugin: Descriptor
  private let link: Descriptor
  private let limit: BandwidthLimit?
  private let counts = Lock(ChannelCounts())
  private let ended = Signal()

  init(plugin: Descriptor, link: Descriptor, limit: BandwidthLimit? = nil) {
    self.plugin = plugin
    self.link = link
    self.limit = limit
  }

  func start() {
    Threads.detach {
      self.move(from: self.plugin, to: self.link, limit: self.limit) { counts, bytes, taken in
        guard taken else { return }
        counts.sent += bytes
        counts.wire += bytes
      }
      self.ended.raise()
    }
    Threads.detach {
      self.move(from: self.link, to: self.plugin, limit: nil) { counts, bytes, taken in
        if taken { counts.received += bytes } else { counts.refused += bytes }
      }
      self.ended.raise()
    }
  }

  func finish() -> ChannelCounts {
    ended.wait()
    ended.wait()
    plugin.close()
    link.close()
    return counts.withLock { $0 }
  }

  var moved: Int64 { counts.withLock { $0.sent + $0.received } }

  func abort() {
    for end in [plugin, link] { _ = shutdown(end.number, Int32(SHUT_RDWR)) }
  }

  private func move(
    from: Descriptor, to: Descriptor, limit: BandwidthLimit?, count: (inout ChannelCounts, _ bytes: Int64, _ taken: Bool) -> Void
  ) {
    defer { _ = shutdown(to.number, Int32(SHUT_WR)) }
    SignalMask.blockPipe()
    guard let pipe = try? Descriptor.pipe() else { return abort() }
    let chunk: UInt64 = 1 << 20
    _ = clinux_pipe_size(pipe.write.number, Int32(chunk))
    while true {
      let got = clinux_splice(from.number, pipe.write.number, limit?.chunk ?? chunk, 0)
      if got == Int64(-EINTR) { continue }
      guard got > 0 else { return }
      limit?.take(got)
      var left = got
      while left > 0 {
        let put = clinux_splice(pipe.read.number, to.number, UInt64(left), 0)
        if put == Int64(-EINTR) { continue }
        guard put > 0 else {
          counts.withLock { count(&$0, left, false) }
          return swallow(from, count: count)
        }
        counts.withLock { count(&$0, put, true) }
        left -= put
      }
    }
  }

  /// Reads on to the end, so that a writer at the other side is not blocked by a reader that has gone.
  private func swallow(_ from: Descriptor, count: (inout ChannelCounts, Int64, Bool) -> Void) {
    while let bytes = try? from.read(upTo: 1 << 18), !bytes.isEmpty { counts.withLock { count(&$0, Int64(bytes.count), false) } }
  }
}

/// Bytes a second over all channels of a run: a bucket that every pump of the source draws from.
final class BandwidthLimit: Sendable {
  private let rate: Double
  private let full = Lock(ContinuousClock().now)

  init(bytesPerSecond: Int64) { rate = Double(max(bytesPerSecond, 1)) }

  /// Small enough that a slow limit flows evenly.
  var chunk: UInt64 { UInt64(min(max(rate / 20, 4096), 1_048_576)) }

  /// Waits until that many bytes may pass.
  func take(_ bytes: Int64) {
    let wait = full.withLock { full in
      let now = ContinuousClock.now
      full = max(full, now).advanced(by: .seconds(Double(bytes) / rate) as Duration)
      return now.duration(to: full)
    }
    let (seconds, fraction) = wait.components
    if seconds > 0 || fraction > 10_000_000_000_000_000 {
      var pause = timespec(tv_sec: Int(seconds), tv_nsec: Int(fraction / 1_000_000_000))
      nanosleep(&pause, nil)
    }
  }
}
