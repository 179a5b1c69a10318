import Glibc

/// A lane's way out: records into a block, full blocks into the channel.
final class LaneWriter {
  private let wire: TreeWire
  private let lane: UInt16
  let block = TreeBlock()
  private var leaves = TreeLeaf()
  private var count: UInt32 = 0
  private var body = 0
  private var start = 0
  /// Told of the bytes of each block that went.
  var sent: ((Int) -> Void)?

  init(_ wire: TreeWire, lane: Int) {
    self.wire = wire
    self.lane = UInt16(lane)
    block.reset(lane: self.lane)
  }

  func flush() throws {
    guard !block.isEmpty else { return }
    let length = block.position
    try wire.send(block)
    block.reset(lane: lane)
    sent?(length)
  }

  /// Counts a leaf that was sent: the receiver must come to the same sum.
  func count(_ leaf: TreeLeaf) {
    leaves += leaf
    count &+= 1
  }

  func add(
    _ record: TreeRecord, name: UnsafeRawBufferPointer = .init(start: nil, count: 0),
    extra: UnsafeRawBufferPointer = .init(start: nil, count: 0),
    body: UnsafeRawBufferPointer = .init(start: nil, count: 0)
  ) throws {
    let place = try begin(record, name: name, extra: extra, room: body.count)
    if let start = body.baseAddress { memcpy(place, start, body.count) }
    commit(record, name: name.count, extra: extra.count, body: body.count)
  }

  /// Makes room for a record whose body is written in place. Nothing of it is sent before `commit`.
  func begin(_ record: TreeRecord, name: UnsafeRawBufferPointer, extra: UnsafeRawBufferPointer, room: Int) throws -> UnsafeMutableRawPointer
  {
    if block.room < TreeRecord.headSize + name.count + extra.count + room { try flush() }
    start = block.position
    block.position += TreeRecord.headSize
    block.append(name)
    block.append(extra)
    body = block.position
    block.position = start
    return block.base + body
  }

  func commit(_ record: TreeRecord, name: Int, extra: Int, body length: Int) {
    var record = record
    record.nameLength = UInt16(name)
    record.extraLength = UInt32(extra)
    record.bodyLength = UInt32(length)
    record.write(to: block.base + start)
    block.position = body + length
  }

  /// Room for one block of content, aligned, in a block of the lane that holds nothing else.
  func beginContent() throws -> UnsafeMutableRawPointer {
    try flush()
    return block.base + TreeBlock.alignment
  }

  func commitContent(at offset: Int64, length: Int) throws {
    var record = TreeRecord(.data)
    record.size = UInt64(offset)
    record.padding = UInt32(TreeBlock.alignment - TreeBlock.header - TreeRecord.headSize)
    record.bodyLength = UInt32(length)
    record.write(to: block.base + TreeBlock.header)
    block.position = TreeBlock.alignment + length
    try flush()
  }

  /// The lane's last word.
  func close() throws {
    var record = TreeRecord(.close)
    record.size = leaves.low
    record.seconds = Int64(bitPattern: leaves.high)
    record.owner = count
    try add(record)
    block.use = .last
    try flush()
  }
}
