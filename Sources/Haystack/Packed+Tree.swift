/// Trees to packed bytes and back.
extension Packed {
  /// Packs a tree.
  public init(_ value: HValue) {
    var builder = PackedBuilder()
    builder.append(value)
    bytes = builder.bytes
  }

  /// The tree, or nil if the bytes are none.
  public var tree: HValue? {
    bytes.withUnsafeBytes {
      var cursor = PackedCursor($0)
      guard let value = cursor.value(), cursor.isAtEnd else { return nil }
      return value.tree ?? nil
    }
  }
}

extension PackedDict {
  /// Packs a dict.
  public init(_ dict: HDict) {
    var builder = PackedBuilder()
    builder.append(tags: dict)
    bytes = builder.bytes
  }

  /// The dict.
  public var tree: HDict { withCursor { $0.dict() } }

  /// Sorts tags that come in any order; a name that stands there twice is nil.
  static func sorted(_ tags: [(name: ArraySlice<UInt8>, value: ArraySlice<UInt8>)]) -> [UInt8]? {
    let sorted = tags.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    var builder = PackedBuilder()
    for (index, tag) in sorted.enumerated() {
      if index > 0, sorted[index - 1].name == tag.name { return nil }
      builder.name(tag.name)
      builder.bytes.append(contentsOf: tag.value)
    }
    return builder.bytes
  }
}

extension PackedBuilder {
  mutating func append(tags dict: HDict) {
    for (name, value) in dict.tags.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
      self.name(name.utf8)
      append(value)
    }
  }

  mutating func append(_ value: HValue?) {
    guard let value else { return kind(Packed.Kind.null) }
    switch value {
    case .marker: kind(Packed.Kind.marker)
    case .na: kind(Packed.Kind.na)
    case .remove: kind(Packed.Kind.remove)
    case .bool(let value): kind(value ? Packed.Kind.yes : Packed.Kind.no)
    case .number(let number): self.number(number.value, unit: number.unit.utf8)
    case .string(let text): string(text.utf8)
    case .uri(let text): self.text(Packed.Kind.uri, text.utf8)
    case .ref(let ref): self.ref(ref.id.utf8)
    case .symbol(let text): self.text(Packed.Kind.symbol, text.utf8)
    case .xstr(let xstr):
      text(Packed.Kind.xstr, xstr.type.utf8)
      varint(xstr.value.utf8.count)
      bytes.append(contentsOf: xstr.value.utf8)
    case .date(let date): self.date(date)
    case .time(let time): self.time(time)
    case .dateTime(let moment): dateTime(moment)
    case .coord(let coord): self.coord(coord)
    case .list(let values):
      let start = open(Packed.Kind.list)
      for value in values { append(value) }
      close(start)
    case .dict(let dict):
      let start = open(Packed.Kind.dict)
      append(tags: dict)
      close(start)
    case .grid(let grid): append(grid)
    }
  }

  mutating func append(_ grid: HGrid) {
    let whole = open(Packed.Kind.grid)
    let meta = openLength()
    append(tags: grid.meta)
    close(meta)
    fixed(UInt32(grid.columns.count))
    for column in grid.columns {
      name(column.name.utf8)
      let meta = openLength()
      append(tags: column.meta)
      close(meta)
    }
    for row in grid.rows {
      let start = openLength()
      append(tags: row)
      close(start)
    }
    close(whole)
  }
}

extension PackedCursor {
  mutating func dict() -> HDict {
    var dict = HDict()
    while let tag = tag() { if let value = tag.value.tree { dict.tags[tag.name.string] = value } }
    return dict
  }

  /// Tags with their length before them.
  mutating func block() -> PackedCursor? {
    fixed(UInt32.self).flatMap { take(Int($0)) }.map { PackedCursor($0) }
  }
}

extension PackedValue {
  /// The tree; nil for an element without a value.
  public var tree: HValue? {
    var cursor = PackedCursor(payload)
    switch kind {
    case Packed.Kind.marker: return .marker
    case Packed.Kind.na: return .na
    case Packed.Kind.remove: return .remove
    case Packed.Kind.no: return .bool(false)
    case Packed.Kind.yes: return .bool(true)
    case Packed.Kind.number, Packed.Kind.quantity: return number.map { .number(HNumber($0.value, $0.unit.string)) }
    case Packed.Kind.string: return text.map { .string($0.string) }
    case Packed.Kind.uri: return text.map { .uri($0.string) }
    case Packed.Kind.ref: return text.map { .ref(HRef($0.string)) }
    case Packed.Kind.symbol: return text.map { .symbol($0.string) }
    case Packed.Kind.xstr:
      guard let type = cursor.varint().flatMap({ cursor.take($0) }), let value = cursor.varint().flatMap({ cursor.take($0) }) else {
        return nil
      }
      return .xstr(HXStr(type: type.string, value: value.string))
    case Packed.Kind.date:
      guard let code = cursor.fixed(UInt32.self) else { return nil }
      return HDate(year: Int(code >> 16), month: Int(code >> 8 & 0xff), day: Int(code & 0xff)).map { .date($0) }
    case Packed.Kind.time: return cursor.fixed(Int64.self).flatMap { HTime(nanoseconds: $0) }.map { .time($0) }
    case Packed.Kind.dateTime:
      guard let nanoseconds = cursor.fixed(Int64.self), let offset = cursor.fixed(Int32.self), let length = cursor.byte(),
        let zone = cursor.take(Int(length))
      else { return nil }
      return .dateTime(HDateTime(nanoseconds: nanoseconds, offset: Int(offset), zone: zone.string))
    case Packed.Kind.coord:
      guard let latitude = cursor.fixed(UInt64.self), let longitude = cursor.fixed(UInt64.self) else { return nil }
      return HCoord(latitude: Double(bitPattern: latitude), longitude: Double(bitPattern: longitude)).map { .coord($0) }
    case Packed.Kind.list:
      guard var content else { return nil }
      var values: [HValue?] = []
      while let value = content.value() { values.append(value.tree) }
      return .list(values)
    case Packed.Kind.dict:
      guard var content else { return nil }
      return .dict(content.dict())
    case Packed.Kind.grid: return grid.map { .grid($0) }
    default: return nil
    }
  }

  private var grid: HGrid? {
    guard var content, var meta = content.block(), let count = content.fixed(UInt32.self) else { return nil }
    var columns: [HGrid.Column] = []
    for _ in 0..<count {
      guard let length = content.byte(), let name = content.take(Int(length)), var meta = content.block() else { return nil }
      columns.append(HGrid.Column(name.string, meta: meta.dict()))
    }
    var rows: [HDict] = []
    while var row = content.block() { rows.append(row.dict()) }
    return HGrid(meta: meta.dict(), columns: columns, rows: rows)
  }
}
