import CLinux
import FerrySystem
import Glibc

/// An open file as a row of blocks, holes told apart.
struct ContentFile {
  struct Wanted {
    var offset: Int64
    var length: Int
    var hasData: Bool
  }

  private let file: Int32
  private(set) var size: Int64
  private let hasHoles: Bool
  private var offset: Int64 = 0
  /// The next byte that is no hole, where known.
  private var data: Range<Int64> = 0..<0

  init(_ file: Int32, size: Int64, hasHoles: Bool) {
    (self.file, self.size, self.hasHoles) = (file, size, hasHoles)
  }

  /// It ends earlier than was thought.
  mutating func end(at offset: Int64) { size = offset }

  /// The next block, or nil at the end.
  mutating func next() -> Wanted? {
    guard offset < size else { return nil }
    let length = Int(min(Int64(TreeBlock.content), size - offset))
    defer { offset += Int64(length) }
    return Wanted(offset: offset, length: length, hasData: !hasHoles || extent(from: offset, to: offset + Int64(length)) != nil)
  }

  /// The next piece of a range that is no hole. A file system that knows no holes has one piece.
  mutating func extent(from: Int64, to: Int64) -> Range<Int64>? {
    guard from < to else { return nil }
    if !data.contains(from) && !(data.lowerBound >= from && !data.isEmpty) {
      let start = clinux_seek_data(file, from)
      if start < 0 {
        data = start == -Int64(ENXIO) ? Int64.max - 1..<Int64.max : from..<Int64.max
      } else {
        let end = clinux_seek_hole(file, start)
        data = start..<(end <= start ? Int64.max : end)
      }
    }
    let found = data.clamped(to: from..<to)
    return found.isEmpty ? nil : found
  }

  /// Reads until the length is reached or the file ends; the number of bytes or -errno. `dropping`: pages that were not in memory before
  /// are not kept there, so that those of the running service are.
  static func read(_ file: Int32, _ place: UnsafeMutableRawPointer, _ length: Int, at offset: Int64, dropping: Bool = false) -> Int {
    var got = 0
    var flags = dropping ? Int32(CLINUX_DONTCACHE) : 0
    var drops = false
    defer { if drops { posix_fadvise(file, off_t(offset), off_t(got), Int32(POSIX_FADV_DONTNEED)) } }
    while got < length {
      let count = clinux_pread(file, place + got, UInt64(length - got), offset + Int64(got), flags)
      if count == 0 { break }
      if count < 0 {
        if count == -Int64(EINTR) { continue }
        if flags != 0, count == -Int64(EOPNOTSUPP) || count == -Int64(EINVAL) || count == -Int64(ENOSYS) {
          // Before Linux 6.14, and on file systems that do not know it: what nobody had in memory is dropped again.
          flags = 0
          drops = clinux_cached_pages(file, offset, Int64(length)) == 0
          continue
        }
        return Int(count)
      }
      got += Int(count)
    }
    return got
  }

  /// The hashes of all blocks, and the length that was found. `failed`: the system's code, if it cannot be read to its end.
  static func hash(
    _ file: Int32, size: Int64, hasHoles: Bool, _ buffer: UnsafeMutableRawBufferPointer, _ failed: inout Int32,
    _ progress: (Int64) throws -> Void
  ) throws -> (ContentBlocks, Int64) {
    var source = ContentFile(file, size: size, hasHoles: hasHoles)
    var blocks = ContentBlocks()
    while let wanted = source.next() {
      guard wanted.hasData, let place = buffer.baseAddress else {
        blocks.append(ContentBlocks.zeros(wanted.length))
        continue
      }
      let got = read(file, place, wanted.length, at: wanted.offset, dropping: true)
      guard got >= 0 else {
        failed = Int32(-got)
        break
      }
      if got > 0 { blocks.append(TreeLeaf(of: UnsafeRawBufferPointer(rebasing: buffer[..<got]))) }
      try progress(Int64(got))
      if got < wanted.length {
        source.end(at: wanted.offset + Int64(got))
        break
      }
    }
    return (blocks, source.size)
  }
}
