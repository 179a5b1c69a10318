/// One value in the form that stores keep, peers send, filters read and digests hash: equal values have equal bytes.
///
/// A kind, then what it needs. Numbers are little-endian; texts and names are UTF-8 with their length before them; lists, dicts and grids have
/// their length in four bytes, so that they can be skipped and patched. Tags are sorted by name. A reference's display name is left out.
public struct Packed: Sendable, Hashable {
  /// The kind and its content.
  public var bytes: [UInt8]

  /// Bytes that are known to be one value.
  public init(bytes: [UInt8]) { self.bytes = bytes }

  enum Kind {
    static let marker: UInt8 = 0x00, na: UInt8 = 0x01, remove: UInt8 = 0x02, no: UInt8 = 0x03, yes: UInt8 = 0x04, null: UInt8 = 0x05
    static let number: UInt8 = 0x10, quantity: UInt8 = 0x11
    static let string: UInt8 = 0x20, uri: UInt8 = 0x21, ref: UInt8 = 0x22, symbol: UInt8 = 0x23, xstr: UInt8 = 0x24
    static let date: UInt8 = 0x30, time: UInt8 = 0x31, dateTime: UInt8 = 0x32, coord: UInt8 = 0x33
    static let list: UInt8 = 0x40, dict: UInt8 = 0x41, grid: UInt8 = 0x42
  }

  /// How deep lists, dicts and grids may lie in each other, in any format.
  public static let maximumDepth = 32
  /// The longest text of a value, in any format; a longer one is an error and not a reason to run out of memory.
  public static let maximumText = 16 << 20
}

/// A record, packed: its tags, sorted by name, without anything around them.
public struct PackedDict: Sendable, Hashable {
  /// Name, value, name, value …
  public var bytes: [UInt8]

  /// Bytes that are known to be tags.
  public init(bytes: [UInt8] = []) { self.bytes = bytes }

  /// Reads the tags in place.
  public func withCursor<Result>(_ body: (inout PackedCursor) throws -> Result) rethrows -> Result {
    try bytes.withUnsafeBytes {
      var cursor = PackedCursor($0)
      return try body(&cursor)
    }
  }
}

/// Appends packed values.
public struct PackedBuilder {
  /// What was appended so far.
  public var bytes: [UInt8] = []

  /// An empty one.
  public init() {}

  mutating func kind(_ kind: UInt8) { bytes.append(kind) }

  /// A number, the lowest byte first.
  public mutating func fixed(_ number: some FixedWidthInteger) { withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) } }

  mutating func varint(_ number: Int) {
    var rest = UInt64(number)
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  /// A tag's name; its value must follow.
  public mutating func name(_ name: some Collection<UInt8>) {
    bytes.append(UInt8(truncatingIfNeeded: name.count))
    bytes.append(contentsOf: name)
  }

  /// The same for a name where it lies: what records are copied with, tag by tag.
  public mutating func name(_ name: UnsafeRawBufferPointer) {
    bytes.append(UInt8(truncatingIfNeeded: name.count))
    bytes.append(contentsOf: name)
  }

  /// A reference where it lies.
  public mutating func ref(_ id: UnsafeRawBufferPointer) {
    bytes.append(Packed.Kind.ref)
    varint(id.count)
    bytes.append(contentsOf: id)
  }

  mutating func text(_ kind: UInt8, _ text: some Collection<UInt8>) {
    bytes.append(kind)
    varint(text.count)
    bytes.append(contentsOf: text)
  }

  /// A string.
  public mutating func string(_ text: some Collection<UInt8>) { self.text(Packed.Kind.string, text) }

  /// A reference.
  public mutating func ref(_ id: some Collection<UInt8>) { text(Packed.Kind.ref, id) }

  /// A reference of two parts.
  public mutating func ref(_ prefix: [UInt8], _ id: UnsafeRawBufferPointer) {
    kind(Packed.Kind.ref)
    varint(prefix.count + id.count)
    bytes.append(contentsOf: prefix)
    bytes.append(contentsOf: id)
  }

  /// A marker.
  public mutating func marker() { kind(Packed.Kind.marker) }

  mutating func number(_ value: Double, unit: some Collection<UInt8>) {
    // One NaN, so that equal values have equal bytes.
    let bits = value.isNaN ? Double.nan.bitPattern : value.bitPattern
    if unit.isEmpty {
      kind(Packed.Kind.number)
      fixed(bits)
    } else {
      kind(Packed.Kind.quantity)
      bytes.append(UInt8(truncatingIfNeeded: unit.count))
      fixed(bits)
      bytes.append(contentsOf: unit)
    }
  }

  mutating func date(_ date: HDate) {
    kind(Packed.Kind.date)
    fixed(UInt32(date.year << 16 | date.month << 8 | date.day))
  }

  mutating func time(_ time: HTime) {
    kind(Packed.Kind.time)
    fixed(time.nanoseconds)
  }

  /// A moment.
  public mutating func dateTime(_ moment: HDateTime) {
    kind(Packed.Kind.dateTime)
    fixed(moment.nanoseconds)
    fixed(Int32(moment.offset))
    let zone = moment.zone.utf8.prefix(255)
    bytes.append(UInt8(zone.count))
    bytes.append(contentsOf: zone)
  }

  /// A moment in UTC.
  public mutating func moment(_ nanoseconds: Int64) {
    kind(Packed.Kind.dateTime)
    fixed(nanoseconds)
    bytes.append(contentsOf: Self.utc)
  }
  /// No offset, and the zone's name.
  private static let utc: [UInt8] = [0, 0, 0, 0, 3] + "UTC".utf8

  mutating func coord(_ coord: HCoord) {
    kind(Packed.Kind.coord)
    fixed(coord.latitude.bitPattern)
    fixed(coord.longitude.bitPattern)
  }

  /// Begins something whose length is not known yet; `close` takes what this answers.
  mutating func open(_ kind: UInt8) -> Int {
    bytes.append(kind)
    return openLength()
  }

  /// The same, with a length in four bytes and nothing before it.
  public mutating func openLength() -> Int {
    fixed(UInt32(0))
    return bytes.count
  }

  /// Writes the length of what was opened.
  public mutating func close(_ start: Int) {
    let length = UInt32(bytes.count - start)
    for byte in 0..<4 { bytes[start - 4 + byte] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(byte))) }
  }

  /// Bytes that are packed already.
  public mutating func raw(_ packed: UnsafeRawBufferPointer) { bytes.append(contentsOf: packed) }

  /// Bytes that are packed already.
  public mutating func raw(_ packed: [UInt8]) { bytes.append(contentsOf: packed) }

  /// Empties it, to be used again.
  public mutating func clear() { bytes.removeAll(keepingCapacity: true) }
}
