import FerrySystem
import Glibc

/// Moves the bytes between a plugin and wires to the other node, in blocks.
///
/// Each wire has a thread. A sending thread takes the next bytes of the plugin and a number for them, compresses them if that pays and sends
/// them on its own wire; a receiving thread takes a block off its wire and hands it on when its number's turn has come. So the wires share the
/// work as they can, nothing is queued, and one wire is no special case. A wire's last block tells how many there were: an end that was not
/// told is an error, never the end of the data.
final class BlockPump: ChannelMover {
  private let plugin: Descriptor
  private let out: [any Wire]
  private let into: [any Wire]
  private let compression: Bool
  private let limit: BandwidthLimit?
  private let reading = Lock(Reading())
  private let turns = Turns()
  private let state = Lock(State())
  private let ended = Signal()

  private struct Reading {
    var next: UInt64 = 0
    var ended = false
  }
  private struct State {
    var counts = ChannelCounts()
    var receivers = 0
    var aborted = false
    var failure: FerryError?
    var pluginReads = true
  }

  init(plugin: Descriptor, out: [any Wire], into: [any Wire], compression: Bool, limit: BandwidthLimit? = nil) {
    self.plugin = plugin
    self.out = out
    self.into = into
    self.compression = compression
    self.limit = limit
    state.withLock { $0.receivers = into.count }
  }

  func start() {
    for wire in out { thread { try self.send(on: wire) } }
    for wire in into { thread { try self.receive(from: wire) } }
  }

  func finish() throws -> ChannelCounts {
    for _ in out + into { ended.wait() }
    plugin.close()
    return try state.withLock { state in
      if let failure = state.failure { throw failure }
      return state.counts
    }
  }

  var moved: Int64 { state.withLock { $0.counts.sent + $0.counts.received } }

  func abort() {
    state.withLock { $0.aborted = true }
    turns.end()
    for wire in out + into { wire.cut() }
    _ = shutdown(plugin.number, Int32(SHUT_RDWR))
  }

  private func thread(_ work: @escaping @Sendable () throws -> Void) {
    Threads.detach {
      SignalMask.blockPipe()
      do { try work() } catch {
        // After the first failure everything else fails for want of it.
        self.state.withLock { if !$0.aborted { $0.failure = $0.failure ?? FerryError.wrap(error) } }
        self.abort()
      }
      self.ended.raise()
    }
  }

  // MARK: Out

  private func send(on wire: any Wire) throws {
    let room = BlockHeader.length + BlockHeader.largest
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 16)
    defer { block.deallocate() }
    let content = UnsafeMutableRawBufferPointer(rebasing: block[BlockHeader.length...])
    let compressor = compression ? BlockCompressor() : nil
    while true {
      let (sequence, count) = next(into: content)
      guard count > 0 else { break }
      let plain = UnsafeRawBufferPointer(rebasing: content[..<count])
      let packed = compressor?.pack(plain, header: BlockHeader.length)
      let length = packed.map { $0.count - BlockHeader.length } ?? count
      let whole = packed ?? UnsafeMutableRawBufferPointer(rebasing: block[..<(BlockHeader.length + count)])
      BlockHeader(sequence: sequence, plain: count, packed: length).write(to: whole)
      let began = ContinuousClock.now
      limit?.take(Int64(whole.count))
      try wire.write(UnsafeRawBufferPointer(whole))
      compressor?.note(sent: whole.count, in: began.duration(to: .now).inSeconds)
      state.withLock {
        $0.counts.sent += Int64(count)
        $0.counts.wire += Int64(whole.count)
      }
    }
    BlockHeader(sequence: reading.withLock { $0.next }, plain: 0, packed: 0).write(to: block)
    try wire.write(UnsafeRawBufferPointer(rebasing: block[..<BlockHeader.length]))
  }

  /// The plugin's next bytes and their number. The lock is held while the plugin is waited for: the others would wait for the same.
  private func next(into content: UnsafeMutableRawBufferPointer) -> (sequence: UInt64, count: Int) {
    let room = min(content.count, limit.map { Int($0.chunk) } ?? .max)
    return reading.withLock { reading in
      guard !reading.ended else { return (reading.next, 0) }
      var got: Int
      repeat { got = Glibc.read(plugin.number, content.baseAddress, room) } while got < 0 && errno == EINTR
      // A plugin that let go with something unread in its socket has ended as well as one that read it.
      guard got > 0 else {
        reading.ended = true
        return (reading.next, 0)
      }
      defer { reading.next += 1 }
      return (reading.next, got)
    }
  }

  // MARK: In

  private func receive(from wire: any Wire) throws {
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: BlockHeader.length + BlockHeader.largest, alignment: 16)
    defer { block.deallocate() }
    let (head, content) = (
      UnsafeMutableRawBufferPointer(rebasing: block[..<BlockHeader.length]),
      UnsafeMutableRawBufferPointer(rebasing: block[BlockHeader.length...])
    )
    var decompressor: BlockDecompressor?
    while true {
      try wire.read(into: head)
      guard let header = BlockHeader(UnsafeRawBufferPointer(head)) else { throw ChannelFailure.error("carried what is no block") }
      if header.isEnd { return try end(after: header.sequence) }
      let packed = UnsafeMutableRawBufferPointer(rebasing: content[..<header.packed])
      try wire.read(into: packed)
      var plain = UnsafeRawBufferPointer(packed)
      if header.isCompressed {
        let unpacker = try decompressor ?? BlockDecompressor()
        decompressor = unpacker
        plain = try unpacker.unpack(plain, length: header.plain)
      }
      try turns.take(header.sequence) { self.hand(plain) }
    }
  }

  private func hand(_ bytes: UnsafeRawBufferPointer) {
    // A plugin that no longer reads does not block the other node's: the rest is read and counted.
    let taken = state.withLock { $0.pluginReads } && Sockets.send(plugin.number, bytes)
    state.withLock { state in
      state.pluginReads = taken
      if taken { state.counts.received += Int64(bytes.count) } else { state.counts.refused += Int64(bytes.count) }
    }
  }

  private func end(after count: UInt64) throws {
    let last = state.withLock { state in
      state.receivers -= 1
      return state.receivers == 0
    }
    guard last else { return }
    guard turns.next == count else { throw ChannelFailure.error("lost blocks: \(count) left the other node and \(turns.next) came") }
    _ = shutdown(plugin.number, Int32(SHUT_WR))
  }
}

/// Lets pieces of work through in the order of their numbers.
private final class Turns: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var number: UInt64 = 0
  private var over = false

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// The number whose turn it is.
  var next: UInt64 { locked { number } }

  /// Waits for the number's turn and works. Throws for a number that was there before, or when all is over.
  func take(_ wanted: UInt64, _ work: () -> Void) throws {
    try locked {
      while number < wanted && !over { pthread_cond_wait(changed, mutex) }
      guard !over, number == wanted else { throw ChannelFailure.error("carried block \(wanted) when it was not its turn") }
    }
    // Nobody else has this number: the work needs no lock.
    work()
    locked {
      number += 1
      pthread_cond_broadcast(changed)
    }
  }

  /// Lets nobody wait any more.
  func end() {
    locked {
      over = true
      pthread_cond_broadcast(changed)
    }
  }

  private func locked<Value>(_ body: () throws -> Value) rethrows -> Value {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }
}
