/// What stands before each block on a wire: 16 bytes, big endian.
struct BlockHeader: Hashable {
  static let length = 16
  /// The most bytes that a block holds.
  static let largest = 256 << 10

  /// Counts all blocks of one direction, over all its wires.
  var sequence: UInt64
  /// Bytes of the plugin. 0: the wire's end; `sequence` is then how many blocks there were over all wires.
  var plain: Int
  /// Bytes that follow; fewer than `plain`: they are compressed.
  var packed: Int

  var isEnd: Bool { plain == 0 }
  var isCompressed: Bool { packed < plain }

  func write(to buffer: UnsafeMutableRawBufferPointer) {
    buffer.storeBytes(of: sequence.bigEndian, as: UInt64.self)
    buffer.storeBytes(of: UInt32(plain).bigEndian, toByteOffset: 8, as: UInt32.self)
    buffer.storeBytes(of: UInt32(packed).bigEndian, toByteOffset: 12, as: UInt32.self)
  }

  init(sequence: UInt64, plain: Int, packed: Int) { (self.sequence, self.plain, self.packed) = (sequence, plain, packed) }

  /// nil: no header that any end of ours writes.
  init?(_ bytes: UnsafeRawBufferPointer) {
    sequence = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
    plain = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
    packed = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
    guard plain <= Self.largest, packed <= plain, (plain == 0) == (packed == 0) else { return nil }
  }
}
