import FerrySystem
import Glibc

/// A piece of a lane's stream on its way: records, none of which reaches into the next block. Aligned, so that a file's content can go
/// between it and the disk directly.
final class TreeBlock {
  /// The length of content that is hashed, compared and sent by itself in large files.
  static let content = 1 << 20
  /// Where that content begins in a block that holds nothing else.
  static let alignment = 4096
  static let capacity = content + 2 * alignment
  /// Before the records: length, lane and use.
  static let header = 16

  enum Use: UInt8 {
    /// A piece of a lane.
    case lane = 1
    /// The last piece of a lane.
    case last
    /// What the ends tell each other as JSON.
    case control
    /// Keys and leaves of what the receiver has.
    case table
    /// Keys of what it has removed.
    case removed
  }

  let base: UnsafeMutableRawPointer
  /// Where the next byte goes, or is read.
  var position = TreeBlock.header
  /// The end of what was received.
  var end = TreeBlock.header
  var lane: UInt16 = 0
  var use = Use.lane

  init() { base = .allocate(byteCount: Self.capacity, alignment: Self.alignment) }
  deinit { base.deallocate() }

  var room: Int { Self.capacity - position }
  var isEmpty: Bool { position == Self.header }

  func reset(_ use: Use = .lane, lane: UInt16 = 0) {
    (self.use, self.lane, position, end) = (use, lane, Self.header, Self.header)
  }

  func append(_ bytes: UnsafeRawBufferPointer) {
    if let start = bytes.baseAddress { memcpy(base + position, start, bytes.count) }
    position += bytes.count
  }
}

/// Blocks between threads: filled ones in a lane's queue, spare ones in a pool, of which there are so many: who fills them waits when the
/// others are far behind.
final class BlockQueue: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var waiting: [TreeBlock] = []
  private var spare: [TreeBlock] = []
  private var made = 0
  private var isClosed = false
  private let limit: Int

  init(limit: Int = 0) {
    self.limit = limit
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }
  deinit {
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(changed)
    mutex.deallocate()
    changed.deallocate()
  }

  /// A block to fill; nil once closed.
  func free() -> TreeBlock? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !isClosed {
      if let block = spare.popLast() { return block }
      if made < limit {
        made += 1
        return TreeBlock()
      }
      pthread_cond_wait(changed, mutex)
    }
    return nil
  }

  /// Hands over a filled one.
  func push(_ block: TreeBlock) {
    pthread_mutex_lock(mutex)
    waiting.append(block)
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }

  /// The next filled one; nil once closed and empty.
  func pop() -> TreeBlock? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while waiting.isEmpty {
      if isClosed { return nil }
      pthread_cond_wait(changed, mutex)
    }
    return waiting.removeFirst()
  }

  /// Gives an emptied one back.
  func recycle(_ block: TreeBlock) {
    pthread_mutex_lock(mutex)
    spare.append(block)
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }

  /// Nothing more comes.
  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }
}
