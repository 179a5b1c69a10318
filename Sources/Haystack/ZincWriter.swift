/// Zinc 3, written row by row.
public struct ZincWriter {
  /// What was written and not yet taken.
  public var bytes: [UInt8] = []
  private let names: [[UInt8]]

  /// Begins a grid; rows may have no other tags than these columns.
  public init(meta: HDict = [:], columns: [HGrid.Column]) {
    names = columns.map { Array($0.name.utf8) }
    text("ver:\"3.0\"")
    PackedDict(meta).withCursor { tags($0, separator: 0x20, before: 0x20) }
    bytes.append(0x0a)
    for (index, column) in columns.enumerated() {
      if index > 0 { bytes.append(0x2c) }
      text(column.name)
      PackedDict(column.meta).withCursor { tags($0, separator: 0x20, before: 0x20) }
    }
    bytes.append(0x0a)
  }

  private init() { names = [] }

  /// Writes a row.
  public mutating func write(_ row: PackedDict) {
    for (index, name) in names.enumerated() {
      if index > 0 { bytes.append(0x2c) }
      row.withCursor { cursor in if let found = cursor.find(name) { value(found) } }
    }
    // A line without anything would end the grid.
    if bytes.last == 0x0a { bytes.append(0x4e) }
    bytes.append(0x0a)
  }

  /// What was written since this was asked last.
  public mutating func takeBytes() -> [UInt8] {
    defer { bytes.removeAll(keepingCapacity: true) }
    return bytes
  }

  /// A whole grid.
  public static func text(_ grid: HGrid) -> String {
    var writer = ZincWriter(meta: grid.meta, columns: grid.columns)
    for row in grid.rows { writer.write(PackedDict(row)) }
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  /// One value.
  public static func text(_ value: HValue?) -> String {
    var builder = PackedBuilder()
    builder.append(value)
    return text(packed: builder.bytes)
  }

  static func text(packed: [UInt8]) -> String {
    var writer = ZincWriter()
    packed.withUnsafeBytes {
      var cursor = PackedCursor($0)
      if let value = cursor.value() { writer.value(value) }
    }
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  private mutating func text(_ text: String) { bytes.append(contentsOf: text.utf8) }
  private mutating func raw(_ text: UnsafeRawBufferPointer) { bytes.append(contentsOf: text) }

  private mutating func tags(_ cursor: PackedCursor, separator: UInt8, before: UInt8? = nil) {
    var cursor = cursor
    var first = true
    while let tag = cursor.tag() {
      if let before, first { bytes.append(before) } else if !first { bytes.append(separator) }
      first = false
      raw(tag.name)
      guard !tag.value.isMarker else { continue }
      bytes.append(0x3a)
      value(tag.value)
    }
  }

  private mutating func value(_ value: PackedValue) {
    switch value.kind {
    case Packed.Kind.marker: bytes.append(0x4d)
    case Packed.Kind.na: text("NA")
    case Packed.Kind.remove: bytes.append(0x52)
    case Packed.Kind.no: bytes.append(0x46)
    case Packed.Kind.yes: bytes.append(0x54)
    case Packed.Kind.null: bytes.append(0x4e)
    case Packed.Kind.number, Packed.Kind.quantity:
      guard let number = value.number else { return }
      text(NumberText.zinc(number.value))
      if number.value.isFinite { raw(number.unit) }
    case Packed.Kind.string: if let text = value.text { quoted(text, 0x22) }
    case Packed.Kind.uri: if let text = value.text { quoted(text, 0x60) }
    case Packed.Kind.ref, Packed.Kind.symbol:
      bytes.append(value.kind == Packed.Kind.ref ? 0x40 : 0x5e)
      if let text = value.text { raw(text) }
    case Packed.Kind.xstr:
      guard case .xstr(let xstr) = value.tree else { return }
      text("\(xstr.type)(")
      Array(xstr.value.utf8).withUnsafeBytes { quoted($0, 0x22) }
      bytes.append(0x29)
    case Packed.Kind.date, Packed.Kind.time, Packed.Kind.dateTime, Packed.Kind.coord: text(value.tree?.plainText ?? "N")
    case Packed.Kind.list:
      bytes.append(0x5b)
      if var content = value.content {
        var first = true
        while let element = content.value() {
          if !first { bytes.append(0x2c) }
          first = false
          self.value(element)
        }
      }
      bytes.append(0x5d)
    case Packed.Kind.dict:
      bytes.append(0x7b)
      if let content = value.content { tags(content, separator: 0x20) }
      bytes.append(0x7d)
    case Packed.Kind.grid:
      guard case .grid(let grid) = value.tree else { return }
      text("<<\n\(ZincWriter.text(grid))>>")
    default: break
    }
  }

  private mutating func quoted(_ text: UnsafeRawBufferPointer, _ quote: UInt8) {
    bytes.append(quote)
    for byte in text {
      switch byte {
      case quote, 0x5c: bytes += quote == 0x60 && byte == 0x5c ? [0x5c, 0x5c] : [0x5c, byte]
      case 0x24 where quote == 0x22: bytes += [0x5c, 0x24]
      case 0x0a: bytes += [0x5c, 0x6e]
      case 0x0d: bytes += [0x5c, 0x72]
      case 0x09: bytes += [0x5c, 0x74]
      case 0..<0x20:
        let digits = Array("0123456789abcdef".utf8)
        bytes += [0x5c, 0x75, 0x30, 0x30, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      default: bytes.append(byte)
      }
    }
    bytes.append(quote)
  }
}

/// Numbers as the formats write them.
enum NumberText {
  static func zinc(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-INF" : "INF" }
    return plain(value)
  }

  /// The shortest text that reads back as the same number.
  static func plain(_ value: Double) -> String {
    if value == value.rounded(), abs(value) < 1e15 { return value == 0 && value.sign == .minus ? "-0" : String(Int64(value)) }
    return value.description
  }
}

extension HValue {
  /// Dates, times, moments and coordinates as Zinc writes them.
  var plainText: String? {
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    switch self {
    case .date(let date):
      let year = String(date.year)
      return "\(String(repeating: "0", count: max(0, 4 - year.count)))\(year)-\(two(date.month))-\(two(date.day))"
    case .time(let time):
      let seconds = Int(time.nanoseconds / 1_000_000_000)
      let fraction = Int(time.nanoseconds % 1_000_000_000)
      let clock = "\(two(seconds / 3600)):\(two(seconds / 60 % 60)):\(two(seconds % 60))"
      guard fraction != 0 else { return clock }
      let digits = String(fraction)
      var padded = String(repeating: "0", count: 9 - digits.count) + digits
      while padded.hasSuffix("0") { padded.removeLast() }
      // Milliseconds at least: some readers take no other number of digits.
      return "\(clock).\(padded.count < 3 ? padded + String(repeating: "0", count: 3 - padded.count) : padded)"
    case .dateTime(let moment):
      guard let local = moment.local, let date = HValue.date(local.date).plainText, let time = HValue.time(local.time).plainText else {
        return nil
      }
      return "\(date)T\(time)\(moment.offsetText)\(moment.zone.isEmpty ? "" : " \(moment.zone)")"
    case .coord(let coord): return "C(\(NumberText.plain(coord.latitude)),\(NumberText.plain(coord.longitude)))"
    default: return nil
    }
  }
}

extension HDateTime {
  /// `Z` or `+02:00`.
  var offsetText: String {
    if offset == 0 { return "Z" }
    let minutes = abs(offset) / 60
    let digits = [minutes / 60, minutes % 60].map { $0 < 10 ? "0\($0)" : "\($0)" }
    return "\(offset < 0 ? "-" : "+")\(digits[0]):\(digits[1])"
  }
}
