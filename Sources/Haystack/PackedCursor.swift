import Glibc

/// Reads packed bytes where they lie. Malformed bytes read as an end and never as something outside of them; what comes from a stranger is
/// validated before.
public struct PackedCursor {
  let bytes: UnsafeRawBufferPointer
  private(set) var position = 0

  /// Over bytes that live as long as this does.
  public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  /// Whether all was read.
  public var isAtEnd: Bool { position >= bytes.count }

  mutating func byte() -> UInt8? {
    guard position < bytes.count else { return nil }
    defer { position += 1 }
    return bytes[position]
  }

  mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
    guard count >= 0, count <= bytes.count - position else { return nil }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  mutating func varint() -> Int? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = byte(), shift < 42 {
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return Int(value) }
      shift += 7
    }
    return nil
  }

  mutating func fixed<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) -> Number? {
    take(MemoryLayout<Number>.size).map { Number(littleEndian: $0.loadUnaligned(as: Number.self)) }
  }

  /// The next value, or nil at the end.
  public mutating func value() -> PackedValue? {
    let start = position
    guard let kind = byte() else { return nil }
    let before = position
    switch kind {
    case Packed.Kind.marker...Packed.Kind.null: break
    case Packed.Kind.number, Packed.Kind.time: guard take(8) != nil else { return nil }
    case Packed.Kind.quantity: guard let unit = byte(), take(8 + Int(unit)) != nil else { return nil }
    case Packed.Kind.string...Packed.Kind.symbol: guard let length = varint(), take(length) != nil else { return nil }
    case Packed.Kind.xstr:
      for _ in 0..<2 { guard let length = varint(), take(length) != nil else { return nil } }
    case Packed.Kind.date: guard take(4) != nil else { return nil }
    case Packed.Kind.dateTime: guard take(12) != nil, let zone = byte(), take(Int(zone)) != nil else { return nil }
    case Packed.Kind.coord: guard take(16) != nil else { return nil }
    case Packed.Kind.list...Packed.Kind.grid: guard let length = fixed(UInt32.self), take(Int(length)) != nil else { return nil }
    default: return nil
    }
    return PackedValue(
      kind: kind, payload: UnsafeRawBufferPointer(rebasing: bytes[before..<position]),
      whole: UnsafeRawBufferPointer(rebasing: bytes[start..<position]))
  }

  /// The next tag, or nil at the end.
  public mutating func tag() -> (name: UnsafeRawBufferPointer, value: PackedValue)? {
    guard let length = byte(), let name = take(Int(length)), let value = value() else { return nil }
    return (name, value)
  }

  /// The value of a tag, from here on; nil if there is none.
  public mutating func find(_ name: [UInt8]) -> PackedValue? {
    name.withUnsafeBytes { wanted in
      while let tag = tag() {
        let order = tag.name.order(to: wanted)
        if order == 0 { return tag.value }
        if order > 0 { return nil }
      }
      return nil
    }
  }
}

/// A value where it lies.
public struct PackedValue {
  let kind: UInt8
  /// What follows the kind.
  let payload: UnsafeRawBufferPointer
  /// The kind and what follows.
  public let whole: UnsafeRawBufferPointer

  /// The text of a string, uri, reference or symbol.
  public var text: UnsafeRawBufferPointer? {
    guard kind >= Packed.Kind.string, kind <= Packed.Kind.symbol else { return nil }
    var cursor = PackedCursor(payload)
    return cursor.varint().flatMap { cursor.take($0) }
  }

  /// The id of a reference.
  public var ref: UnsafeRawBufferPointer? { kind == Packed.Kind.ref ? text : nil }

  /// Nanoseconds since 1970 of a moment.
  public var nanoseconds: Int64? {
    guard kind == Packed.Kind.dateTime else { return nil }
    var cursor = PackedCursor(payload)
    return cursor.fixed(Int64.self)
  }

  /// Number and unit.
  var number: (value: Double, unit: UnsafeRawBufferPointer)? {
    var cursor = PackedCursor(payload)
    var length = 0
    if kind == Packed.Kind.quantity { length = Int(cursor.byte() ?? 0) } else if kind != Packed.Kind.number { return nil }
    guard let bits = cursor.fixed(UInt64.self), let unit = cursor.take(length) else { return nil }
    return (Double(bitPattern: bits), unit)
  }

  /// What is in a list, dict or grid.
  var content: PackedCursor? {
    guard kind >= Packed.Kind.list, kind <= Packed.Kind.grid, payload.count >= 4 else { return nil }
    return PackedCursor(UnsafeRawBufferPointer(rebasing: payload[4...]))
  }

  /// Whether it is a marker.
  public var isMarker: Bool { kind == Packed.Kind.marker }
  /// Whether it is a dict.
  public var isDict: Bool { kind == Packed.Kind.dict }
}

extension UnsafeRawBufferPointer {
  /// Below 0, 0 or above 0, by bytes and then by length.
  func order(to other: UnsafeRawBufferPointer) -> Int {
    let shorter = Swift.min(count, other.count)
    if shorter > 0, let left = baseAddress, let right = other.baseAddress {
      let order = memcmp(left, right, shorter)
      if order != 0 { return Int(order) }
    }
    return count - other.count
  }

  /// Whether the bytes are the same.
  public func equals(_ other: UnsafeRawBufferPointer) -> Bool { count == other.count && order(to: other) == 0 }

  /// Whether it sorts behind another.
  public func follows(_ other: UnsafeRawBufferPointer) -> Bool { order(to: other) > 0 }

  /// The bytes as text.
  public var string: String { String(decoding: self, as: UTF8.self) }
}
