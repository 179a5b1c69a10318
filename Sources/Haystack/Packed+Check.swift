import FerrySystem

/// Whether bytes of a stranger's are what they say.
extension PackedDict {
  /// Takes tags that somebody else packed; throws unless they are exactly what this library would have packed.
  public init(checking bytes: UnsafeRawBufferPointer) throws {
    guard Self.isSound(bytes) else { throw FerryError(.peer, "the peer sent a record that is malformed") }
    self.init(bytes: Array(bytes))
  }

  /// Whether bytes are exactly what this library would have packed.
  public static func isSound(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var cursor = PackedCursor(bytes)
    return cursor.areTags(depth: 0)
  }
}

extension Packed {
  /// Whether the bytes are exactly one value, as this library would have packed it.
  public var isSound: Bool {
    bytes.withUnsafeBytes {
      var cursor = PackedCursor($0)
      guard let value = cursor.value(), cursor.isAtEnd else { return false }
      return value.isSound(depth: 0)
    }
  }
}

extension PackedCursor {
  mutating func areTags(depth: Int) -> Bool {
    var last = UnsafeRawBufferPointer(start: nil, count: 0)
    while !isAtEnd {
      guard let tag = tag(), Characters.isTag(tag.name), last.order(to: tag.name) < 0, tag.value.isSound(depth: depth),
        tag.value.kind != Packed.Kind.null
      else { return false }
      last = tag.name
    }
    return true
  }

  fileprivate mutating func isBlock(depth: Int) -> Bool {
    guard var block = block() else { return false }
    return block.areTags(depth: depth)
  }
}

extension PackedValue {
  func isSound(depth: Int) -> Bool {
    guard depth <= Packed.maximumDepth else { return false }
    switch kind {
    case Packed.Kind.marker...Packed.Kind.null: return true
    case Packed.Kind.number: return true
    case Packed.Kind.quantity: return number.map { $0.unit.count > 0 && $0.unit.allSatisfy(Characters.isUnit) && isText($0.unit) } ?? false
    case Packed.Kind.string, Packed.Kind.uri: return text.map(isText) ?? false
    case Packed.Kind.ref: return text.map { $0.count > 0 && $0.allSatisfy(Characters.isRef) } ?? false
    case Packed.Kind.symbol: return text.map { $0.count > 0 && $0.allSatisfy(Characters.isRef) } ?? false
    case Packed.Kind.xstr:
      var cursor = PackedCursor(payload)
      guard let type = cursor.varint().flatMap({ cursor.take($0) }), let value = cursor.varint().flatMap({ cursor.take($0) }) else {
        return false
      }
      return Characters.isTag(type) && isText(value)
    case Packed.Kind.date, Packed.Kind.time, Packed.Kind.coord: return tree != nil
    case Packed.Kind.dateTime: return payload.count >= 13 && payload[13...].allSatisfy(Characters.isZone)
    case Packed.Kind.list:
      guard var content else { return false }
      while !content.isAtEnd { guard let value = content.value(), value.isSound(depth: depth + 1) else { return false } }
      return true
    case Packed.Kind.dict:
      guard var content else { return false }
      return content.areTags(depth: depth + 1)
    case Packed.Kind.grid:
      guard var content, content.isBlock(depth: depth + 1), let columns = content.fixed(UInt32.self) else { return false }
      for _ in 0..<columns {
        guard let length = content.byte(), let name = content.take(Int(length)), Characters.isTag(name), content.isBlock(depth: depth + 1)
        else { return false }
      }
      while !content.isAtEnd { guard content.isBlock(depth: depth + 1) else { return false } }
      return true
    default: return false
    }
  }

  private func isText(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.count <= Packed.maximumText && (bytes.allSatisfy { $0 < 0x80 } || String(validating: bytes, as: UTF8.self) != nil)
  }
}
