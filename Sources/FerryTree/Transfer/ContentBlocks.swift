import CXXHash
import Glibc

/// The hash of a file's content. Up to one block it is that of the bytes; beyond, that of its blocks' hashes, so that it can be told anew
/// when a few blocks change.
struct ContentBlocks {
  /// 16 bytes for each block.
  private(set) var hashes: [UInt64] = []

  static func count(_ size: Int64) -> Int { max(1, Int((size + Int64(TreeBlock.content) - 1) / Int64(TreeBlock.content))) }

  mutating func reserve(_ size: Int64) { hashes.reserveCapacity(2 * Self.count(min(size, 1 << 40))) }

  mutating func append(_ leaf: TreeLeaf) { hashes += [leaf.low, leaf.high] }

  var count: Int { hashes.count / 2 }

  subscript(index: Int) -> TreeLeaf {
    get { TreeLeaf(low: hashes[2 * index], high: hashes[2 * index + 1]) }
    set { (hashes[2 * index], hashes[2 * index + 1]) = (newValue.low, newValue.high) }
  }

  mutating func resize(_ count: Int) {
    if self.count > count { hashes.removeLast(2 * (self.count - count)) }
  }

  /// The content's hash.
  var leaf: TreeLeaf {
    switch count {
    case 0: Self.empty
    case 1: self[0]
    default: hashes.withUnsafeBytes { TreeLeaf(of: $0) }
    }
  }

  static let empty = TreeLeaf(of: UnsafeRawBufferPointer(start: nil, count: 0))

  /// The hash of a block of zeros.
  static func zeros(_ length: Int) -> TreeLeaf {
    if length == TreeBlock.content { return wholeZero }
    return TreeLeaf(of: UnsafeRawBufferPointer(rebasing: zeroBytes[..<length]))
  }

  nonisolated(unsafe) private static let zeroBytes: UnsafeRawBufferPointer = {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: TreeBlock.content, alignment: 4096)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    return UnsafeRawBufferPointer(bytes)
  }()
  private static let wholeZero = TreeLeaf(of: zeroBytes)
}
