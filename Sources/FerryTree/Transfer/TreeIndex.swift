import CXXHash
import FerrySystem
import Glibc

/// What the receiver has, path by path: 40 bytes an entry, at both ends alike. The paths themselves are not in it.
///
/// It is cut into parts with a lock each, so that lanes seldom meet, and a part that grows does not double the whole.
final class TreeIndex: @unchecked Sendable {
  struct Slot {
    /// A seeded hash of the path; 0 in an empty slot.
    var key: UInt64 = 0
    /// What the entry looked like at this end when its leaf was made; 0: unknown, look again.
    var stamp: UInt64 = 0
    var leaf = TreeLeaf()
    /// Bytes of content.
    var size: Int64 = 0
  }

  private struct Part {
    var slots: UnsafeMutableBufferPointer<Slot>
    var count = 0
    var sum = TreeLeaf()
    var bytes: Int64 = 0
  }

  private static let partCount = 64
  private let parts: UnsafeMutablePointer<Part>
  private let locks: UnsafeMutablePointer<pthread_mutex_t>
  /// Makes keys of this transfer unlike any other's.
  let seed: UInt64

  init(seed: UInt64) {
    self.seed = seed
    parts = .allocate(capacity: Self.partCount)
    locks = .allocate(capacity: Self.partCount)
    for part in 0..<Self.partCount {
      parts.advanced(by: part).initialize(to: Part(slots: Self.slots(102)))
      pthread_mutex_init(locks + part, nil)
    }
  }

  deinit {
    for part in 0..<Self.partCount {
      Self.free(parts[part].slots)
      pthread_mutex_destroy(locks + part)
    }
    parts.deallocate()
    locks.deallocate()
  }

  static func key(_ path: UnsafeRawBufferPointer, _ seed: UInt64) -> UInt64 {
    max(1, XXH3_64bits_withSeed(path.baseAddress, path.count, seed))
  }

  /// Pages of their own, which go back when they are freed: in a heap those of outgrown parts would stay. They come as zeros, as empty
  /// slots are.
  private static func slots(_ count: Int) -> UnsafeMutableBufferPointer<Slot> {
    let length = count * MemoryLayout<Slot>.stride
    guard let pages = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), pages != MAP_FAILED else {
      preconditionFailure("no memory for \(length) bytes of a tree's index")
    }
    return UnsafeMutableBufferPointer(start: pages.bindMemory(to: Slot.self, capacity: count), count: count)
  }

  private static func free(_ slots: UnsafeMutableBufferPointer<Slot>) { munmap(slots.baseAddress, slots.count * MemoryLayout<Slot>.stride) }

  private func with<Result>(_ key: UInt64, _ body: (inout Part) -> Result) -> Result {
    let part = Int(key >> 58)
    pthread_mutex_lock(locks + part)
    defer { pthread_mutex_unlock(locks + part) }
    return body(&parts[part])
  }

  /// What is known of a path.
  func find(_ key: UInt64) -> Slot? {
    with(key) { part in
      let place = Self.place(of: key, in: part.slots)
      return part.slots[place].key == key ? part.slots[place] : nil
    }
  }

  /// Puts in or replaces.
  func set(_ slot: Slot) {
    with(slot.key) { part in
      var place = Self.place(of: slot.key, in: part.slots)
      if part.slots[place].key == 0 {
        if (part.count + 1) * 8 > part.slots.count * 7 {
          Self.grow(&part)
          place = Self.place(of: slot.key, in: part.slots)
        }
        part.count += 1
      } else {
        part.sum -= part.slots[place].leaf
        part.bytes -= part.slots[place].size
      }
      part.slots[place] = slot
      part.sum += slot.leaf
      part.bytes += slot.size
    }
  }

  /// Notes how an entry looks now; its leaf stays.
  func restamp(_ key: UInt64, _ stamp: UInt64, size: Int64) {
    with(key) { part in
      let place = Self.place(of: key, in: part.slots)
      guard part.slots[place].key == key else { return }
      part.bytes += size - part.slots[place].size
      (part.slots[place].stamp, part.slots[place].size) = (stamp, size)
    }
  }

  /// Takes out; says whether it was there.
  @discardableResult func remove(_ key: UInt64) -> Bool {
    with(key) { part in
      var hole = Self.place(of: key, in: part.slots)
      guard part.slots[hole].key == key else { return false }
      part.sum -= part.slots[hole].leaf
      part.bytes -= part.slots[hole].size
      part.count -= 1
      // What follows moves up, so that no mark of a removed entry has to stay.
      var next = hole
      while true {
        part.slots[hole].key = 0
        while true {
          next = next + 1 == part.slots.count ? 0 : next + 1
          let found = part.slots[next].key
          if found == 0 { return true }
          let home = Self.home(of: found, part.slots.count)
          let stays = hole <= next ? (hole < home && home <= next) : (hole < home || home <= next)
          if !stays { break }
        }
        part.slots[hole] = part.slots[next]
        hole = next
      }
    }
  }

  /// Sum of all leaves, count and bytes.
  var total: (sum: TreeLeaf, count: Int, bytes: Int64) {
    var total = (sum: TreeLeaf(), count: 0, bytes: Int64(0))
    for part in 0..<Self.partCount {
      pthread_mutex_lock(locks + part)
      total.sum += parts[part].sum
      total.count += parts[part].count
      total.bytes += parts[part].bytes
      pthread_mutex_unlock(locks + part)
    }
    return total
  }

  /// Visits all slots, part by part.
  func forEach(_ body: (Slot) throws -> Void) rethrows {
    for part in 0..<Self.partCount {
      pthread_mutex_lock(locks + part)
      defer { pthread_mutex_unlock(locks + part) }
      for slot in parts[part].slots where slot.key != 0 { try body(slot) }
    }
  }

  private static func home(of key: UInt64, _ count: Int) -> Int {
    Int(truncatingIfNeeded: ((key & 0xffff_ffff) &* UInt64(count)) >> 32)
  }

  /// Where a key is, or the empty slot where it would be.
  private static func place(of key: UInt64, in slots: UnsafeMutableBufferPointer<Slot>) -> Int {
    var place = home(of: key, slots.count)
    while slots[place].key != key && slots[place].key != 0 { place = place + 1 == slots.count ? 0 : place + 1 }
    return place
  }

  private static func grow(_ part: inout Part) {
    let old = part.slots
    // In large steps as long as that is cheap, then in small ones, which leave less empty.
    part.slots = slots(old.count + old.count / (old.count < 4096 ? 3 : 7) + 8)
    for slot in old where slot.key != 0 { part.slots[place(of: slot.key, in: part.slots)] = slot }
    free(old)
  }
}
