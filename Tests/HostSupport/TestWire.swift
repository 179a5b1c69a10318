import FerrySystem
import Glibc

/// A link that a test can make as bad as it likes: a TAP device at each end, and threads that carry the frames from one to the other. Real frames
/// in real time, and no `netem`, which small kernels lack. Gone with its last reference.
public final class TestWire: Sendable {
  /// What a wire does to what it carries.
  public struct Quality: Sendable {
    /// How long each frame takes.
    public var delay: Duration
    /// Each frame whose number this divides is lost; 0: none is.
    public var losesEach: Int
    /// What somebody on the way does to a frame.
    public var tamper: @Sendable (inout [UInt8]) -> Void

    /// A perfect wire unless told.
    public init(delay: Duration = .zero, losesEach: Int = 0, tamper: @escaping @Sendable (inout [UInt8]) -> Void = { _ in }) {
      self.delay = delay
      self.losesEach = losesEach
      self.tamper = tamper
    }
  }

  private let isOver = Lock(false)

  init(_ one: String, _ other: String, _ quality: Quality) throws {
    let ends = try [one, other].map(Self.device)
    for (from, to) in [(ends[0], ends[1]), (ends[1], ends[0])] { carry(from, to, quality) }
  }

  deinit { isOver.withLock { $0 = true } }

  private struct Frame: Sendable {
    var bytes: [UInt8]
    var due: ContinuousClock.Instant
  }

  /// One thread takes the frames as they come, the other hands them on when their time has come: all take equally long, so none overtakes.
  private func carry(_ from: Descriptor, _ to: Descriptor, _ quality: Quality) {
    let (frames, arrived, isOver) = (Lock<[Frame]>([]), Signal(), isOver)
    Threads.detach {
      var count = 0
      while !isOver.withLock({ $0 }) {
        var ready = pollfd(fd: from.number, events: Int16(POLLIN), revents: 0)
        // A device that is down is not readable: it comes up later.
        guard poll(&ready, 1, 100) == 1, ready.revents & Int16(POLLIN) != 0, var bytes = try? from.read(upTo: 1 << 16) else { continue }
        count += 1
        if quality.losesEach > 0, count % quality.losesEach == 0 { continue }
        quality.tamper(&bytes)
        let frame = Frame(bytes: bytes, due: .now + quality.delay)
        frames.withLock { $0.append(frame) }
        arrived.raise()
      }
      arrived.raise()
    }
    Threads.detach {
      while true {
        arrived.wait()
        guard let frame = frames.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { return }
        let left = ContinuousClock.now.duration(to: frame.due).components
        if left.seconds > 0 || left.attoseconds > 0 { usleep(UInt32(left.seconds * 1_000_000 + left.attoseconds / 1_000_000_000_000)) }
        // A host that is down takes none.
        try? to.write(frame.bytes)
      }
    }
  }

  /// A TAP device of that name in this namespace; it may be moved to another, and goes with its descriptor.
  private static func device(_ name: String) throws -> Descriptor {
    let device = try Descriptor.open("/dev/net/tun", O_RDWR)
    // struct ifreq: a name of 16 bytes, then the flags IFF_TAP and IFF_NO_PI.
    var request = [UInt8](repeating: 0, count: 40)
    for (index, byte) in name.utf8.prefix(15).enumerated() { request[index] = byte }
    request[16] = 0x02
    request[17] = 0x10
    let setInterface: UInt = 0x4004_54ca
    guard ioctl(device.number, setInterface, &request) == 0 else { throw FerryError(errno: errno, "cannot make the device \(name)") }
    return device
  }

  /// Why there can be no such wires here, or nil.
  public static let unavailable: String? = (try? device("ferry-try\(getpid() % 10000)")) == nil ? "test wires need /dev/net/tun" : nil

  /// Whether there can be such wires here; says once why not. For `.enabled(if:)`.
  public static let available: Bool = {
    if let unavailable { print("skipped: \(unavailable)") }
    return unavailable == nil
  }()

  /// Swaps two words of each larger TCP segment that is not ssh's: its checksum stays right, so only encryption can tell.
  public static let swapWords: @Sendable (inout [UInt8]) -> Void = { frame in
    guard frame.count > 600, frame[12] == 0x08, frame[13] == 0, frame[23] == 6 else { return }
    let tcp = 14 + Int(frame[14] & 15) * 4
    let ports = [0, 2].map { Int(frame[tcp + $0]) << 8 | Int(frame[tcp + $0 + 1]) }
    guard !ports.contains(22) else { return }
    let middle = tcp + (frame.count - tcp) / 4 * 2
    for place in [0, 1] { frame.swapAt(middle + place, middle + place + 2) }
  }
}
