import CLinux
import Glibc

/// Bytes that grow and are used again: the names of a folder, each with a byte of length before and a NUL behind.
final class ByteArena {
  private(set) var base: UnsafeMutableRawPointer
  private(set) var count = 0
  private var capacity: Int
  /// How many names.
  private(set) var names = 0

  init(capacity: Int = 1 << 16) {
    self.capacity = capacity
    base = .allocate(byteCount: capacity, alignment: 16)
  }
  deinit { base.deallocate() }

  func clear() { (count, names) = (0, 0) }

  func append(name: UnsafeRawBufferPointer) {
    if count + name.count + 2 > capacity {
      capacity = max(2 * capacity, count + name.count + 2)
      let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
      memcpy(larger, base, count)
      base.deallocate()
      base = larger
    }
    base.storeBytes(of: UInt8(name.count), toByteOffset: count, as: UInt8.self)
    if let start = name.baseAddress { memcpy(base + count + 1, start, name.count) }
    base.storeBytes(of: 0, toByteOffset: count + 1 + name.count, as: UInt8.self)
    count += name.count + 2
    names += 1
  }

  /// Reads all names of an open folder; -errno on failure. `buffer` is scratch.
  func list(_ folder: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int32 {
    clear()
    while true {
      let length = clinux_getdents(folder, buffer.baseAddress, UInt64(buffer.count))
      if length <= 0 { return Int32(length) }
      var place = 0
      while place < Int(length) {
        guard let entry = buffer.baseAddress?.advanced(by: place) else { return -EIO }
        let text = entry + 19
        let name = UnsafeRawBufferPointer(start: text, count: strlen(text.assumingMemoryBound(to: CChar.self)))
        if name.count > 255 { return -ENAMETOOLONG }
        if !(name.count <= 2 && name.allSatisfy { $0 == 0x2e }) { append(name: name) }
        place += Int(entry.loadUnaligned(fromByteOffset: 16, as: UInt16.self))
      }
    }
  }

  /// Visits all names; each ends in NUL.
  func forEach(_ body: (UnsafeRawBufferPointer) throws -> Void) rethrows {
    var place = 0
    while place < count {
      let length = Int(base.load(fromByteOffset: place, as: UInt8.self))
      try body(UnsafeRawBufferPointer(start: base + place + 1, count: length))
      place += length + 2
    }
  }
}
