import CXXHash
import Glibc

/// A hash of 128 bits. Of a tree's leaves the sum is taken: whatever their order, and a changed one costs no more than itself.
struct TreeLeaf: Hashable, Sendable {
  var low: UInt64 = 0
  var high: UInt64 = 0

  /// The hash of some bytes.
  init(of bytes: UnsafeRawBufferPointer) {
    let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
    (low, high) = (hash.low64, hash.high64)
  }

  init(low: UInt64 = 0, high: UInt64 = 0) { (self.low, self.high) = (low, high) }

  /// Modulo 2^128; never XOR, in which what comes twice vanishes.
  static func += (sum: inout TreeLeaf, leaf: TreeLeaf) {
    let (low, carry) = sum.low.addingReportingOverflow(leaf.low)
    sum = TreeLeaf(low: low, high: sum.high &+ leaf.high &+ (carry ? 1 : 0))
  }

  static func -= (sum: inout TreeLeaf, leaf: TreeLeaf) {
    let (low, borrow) = sum.low.subtractingReportingOverflow(leaf.low)
    sum = TreeLeaf(low: low, high: sum.high &- leaf.high &- (borrow ? 1 : 0))
  }

  /// As a digest shows it.
  var shown: TreeHash {
    var hash = TreeHash()
    hash.words = (high.bigEndian, low.bigEndian, 0, 0)
    hash.length = 16
    return hash
  }
}

/// What an entry's leaf holds besides its path, its content and its attributes.
struct TreeMeta {
  var kind: EntryKind
  var mode: UInt16
  var owner: UInt32
  var group: UInt32
  var seconds: Int64
  var nanoseconds: UInt32
  /// A file's length, a device's number, else 0.
  var size: UInt64
}

/// The path that a lane looks at, and the leaf of what is there. One buffer holds the fields and after them the path, so that a key and a
/// leaf are one hash each over bytes that lie in place.
final class LeafScratch {
  private static let fields = 64
  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  private var folderLength = 0
  private var pathLength = 0

  init(path limit: Int) {
    capacity = limit + 512
    base = .allocate(byteCount: Self.fields + capacity, alignment: 16)
  }
  deinit { base.deallocate() }

  /// The path that is looked at.
  var path: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base + Self.fields, count: pathLength) }

  /// Goes to a folder. False if its path is too long.
  func enter(_ folder: UnsafeRawBufferPointer) -> Bool {
    guard folder.count < capacity - 300 else { return false }
    if let start = folder.baseAddress { memcpy(base + Self.fields, start, folder.count) }
    folderLength = folder.count
    if folderLength > 0 {
      base.storeBytes(of: 0x2f, toByteOffset: Self.fields + folderLength, as: UInt8.self)
      folderLength += 1
    }
    pathLength = folder.count
    return true
  }

  /// Looks at a name in the folder; the empty one is the folder itself.
  func look(at name: UnsafeRawBufferPointer) {
    guard let start = name.baseAddress, name.count > 0 else { return pathLength = max(0, folderLength - 1) }
    memcpy(base + Self.fields + folderLength, start, name.count)
    pathLength = folderLength + name.count
  }

  /// What the index knows the path by.
  func key(_ seed: UInt64) -> UInt64 { TreeIndex.key(path, seed) }

  /// The leaf of what is at the path.
  func leaf(_ meta: TreeMeta, content: TreeLeaf, attributes: TreeLeaf) -> TreeLeaf {
    base.storeBytes(of: meta.kind.rawValue, as: UInt8.self)
    base.storeBytes(of: 0, toByteOffset: 1, as: UInt8.self)
    base.storeBytes(of: meta.mode.littleEndian, toByteOffset: 2, as: UInt16.self)
    base.storeBytes(of: meta.nanoseconds.littleEndian, toByteOffset: 4, as: UInt32.self)
    base.storeBytes(of: meta.owner.littleEndian, toByteOffset: 8, as: UInt32.self)
    base.storeBytes(of: meta.group.littleEndian, toByteOffset: 12, as: UInt32.self)
    base.storeBytes(of: meta.seconds.littleEndian, toByteOffset: 16, as: Int64.self)
    base.storeBytes(of: meta.size.littleEndian, toByteOffset: 24, as: UInt64.self)
    base.storeBytes(of: content.low.littleEndian, toByteOffset: 32, as: UInt64.self)
    base.storeBytes(of: content.high.littleEndian, toByteOffset: 40, as: UInt64.self)
    base.storeBytes(of: attributes.low.littleEndian, toByteOffset: 48, as: UInt64.self)
    base.storeBytes(of: attributes.high.littleEndian, toByteOffset: 56, as: UInt64.self)
    return TreeLeaf(of: UnsafeRawBufferPointer(start: base, count: Self.fields + pathLength))
  }
}
