import CZstd
import FerrySystem
import Glibc

/// Compresses blocks while that pays: while a second of compressing takes more bytes off the wire than the wire carries in a second.
/// Both are measured as the data goes. One for each sending thread.
final class BlockCompressor {
  private let context: OpaquePointer?
  private let room = UnsafeMutableRawBufferPointer.allocate(
    byteCount: BlockHeader.length + ZSTD_compressBound(BlockHeader.largest), alignment: 16)
  private var judge = CompressionJudge()

  init() { context = ZSTD_createCCtx() }

  deinit {
    ZSTD_freeCCtx(context)
    room.deallocate()
  }

  /// The block compressed, with room for a header before it; nil: send it as it is.
  func pack(_ plain: UnsafeRawBufferPointer, header: Int) -> UnsafeMutableRawBufferPointer? {
    // What fits into a packet or two gains nothing, and somebody may wait for it.
    guard let context, plain.count >= 4096, judge.wantsTry() else { return nil }
    let began = Self.processorTime
    let size = ZSTD_compressCCtx(context, room.baseAddress?.advanced(by: header), room.count - header, plain.baseAddress, plain.count, 1)
    let isSmaller = ZSTD_isError(size) == 0 && size < plain.count
    judge.note(saved: isSmaller ? plain.count - size : 0, in: Self.processorTime - began)
    return isSmaller ? UnsafeMutableRawBufferPointer(rebasing: room[..<(header + size)]) : nil
  }

  /// A block has gone over the wire, and how long that took.
  func note(sent bytes: Int, in seconds: Double) { judge.note(sent: bytes, in: seconds) }

  private static var processorTime: Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}

/// Decides from measurements whether the next block is compressed.
struct CompressionJudge {
  private var saved = Rate()
  private var link = Rate()
  private var isOn = false
  private var untilTry = 1
  private var pause = firstPause

  /// Blocks between two tries while it does not pay: doubled with each try that fails.
  private static let firstPause = 8
  private static let longestPause = 256

  /// A sum of the last things that happened: older ones fade.
  private struct Rate {
    var bytes = 0.0
    var seconds = 0.0
    mutating func add(_ bytes: Int, _ seconds: Double) {
      self.bytes = self.bytes * 0.9 + Double(bytes)
      self.seconds = self.seconds * 0.9 + max(seconds, 1e-9)
    }
    var perSecond: Double? { seconds > 0 ? bytes / seconds : nil }
  }

  mutating func wantsTry() -> Bool {
    if isOn { return true }
    untilTry -= 1
    return untilTry <= 0
  }

  mutating func note(saved bytes: Int, in seconds: Double) {
    saved.add(bytes, seconds)
    // Once on, a little less is enough: no flutter between the two.
    let enough = (link.perSecond ?? .infinity) * (isOn ? 0.9 : 1.1)
    let pays = (saved.perSecond ?? 0) > enough
    if pays { pause = Self.firstPause } else if !isOn { pause = min(pause * 2, Self.longestPause) }
    if !pays { untilTry = pause }
    isOn = pays
  }

  mutating func note(sent bytes: Int, in seconds: Double) { link.add(bytes, seconds) }
}

/// The other end of a `BlockCompressor`.
final class BlockDecompressor {
  private let context: OpaquePointer
  private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: BlockHeader.largest, alignment: 16)

  init() throws {
    guard let context = ZSTD_createDCtx() else { throw FerryError(.internal, "zstd cannot be set up") }
    self.context = context
  }

  deinit {
    ZSTD_freeDCtx(context)
    room.deallocate()
  }

  /// The block as it was; good until the next call. `length` is at most that of the largest block.
  func unpack(_ packed: UnsafeRawBufferPointer, length: Int) throws -> UnsafeRawBufferPointer {
    let size = ZSTD_decompressDCtx(context, room.baseAddress, length, packed.baseAddress, packed.count)
    guard ZSTD_isError(size) == 0, size == length else { throw FerryError(.peer, "a compressed block of the other node cannot be read") }
    return UnsafeRawBufferPointer(rebasing: room[..<length])
  }
}
