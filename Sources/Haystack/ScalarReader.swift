import FerrySystem
import Glibc

/// Numbers, dates, texts and references as Zinc, Trio and filters write them, read into packed form.
struct ScalarReader {
  let input: TextReader
  private var scratch: [UInt8] = []

  init(_ input: TextReader) { self.input = input }

  /// A name of letters, digits and `_`.
  mutating func name() throws -> [UInt8] {
    scratch.removeAll(keepingCapacity: true)
    try input.take(into: &scratch, limit: 255, while: Characters.isName)
    guard Characters.isTag(scratch) else { throw input.error("expected a name, found \(try input.shown())") }
    return scratch
  }

  /// A text in quotes of its own kind; the first quote is taken already.
  mutating func quoted(_ quote: UInt8, into bytes: inout [UInt8]) throws {
    let before = bytes.count
    while true {
      try input.take(into: &bytes) { $0 != quote && $0 != 0x5c && $0 != 0x0a }
      guard let byte = try input.peek(), byte != 0x0a else { throw input.error("a text has no closing quote") }
      input.skip()
      if byte == quote { break }
      try escape(quote, into: &bytes)
      if bytes.count - before > Packed.maximumText { throw input.error("a value is longer than \(Packed.maximumText) bytes") }
    }
    try input.validate(bytes[before...])
  }

  private func escape(_ quote: UInt8, into bytes: inout [UInt8]) throws {
    guard let byte = try input.next() else { throw input.error("a text has no closing quote") }
    switch byte {
    case UInt8(ascii: "b"): bytes.append(0x08)
    case UInt8(ascii: "f"): bytes.append(0x0c)
    case UInt8(ascii: "n"): bytes.append(0x0a)
    case UInt8(ascii: "r"): bytes.append(0x0d)
    case UInt8(ascii: "t"): bytes.append(0x09)
    case UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "$"), UInt8(ascii: "`"), UInt8(ascii: "'"): bytes.append(byte)
    case UInt8(ascii: "u"):
      var scalar = try unit()
      if scalar >= 0xd800, scalar < 0xdc00 {
        // Some write what is beyond the first plane as two halves.
        try input.expect("\\u")
        let low = try unit()
        guard low >= 0xdc00, low < 0xe000 else { throw input.error("half a surrogate pair") }
        scalar = 0x10000 + (scalar - 0xd800) << 10 + (low - 0xdc00)
      }
      guard let scalar = Unicode.Scalar(scalar) else { throw input.error("an escape names no character") }
      bytes.append(contentsOf: Array(String(Character(scalar)).utf8))
    default:
      // A uri keeps the backslash before its own punctuation.
      guard quote == 0x60, ":/?#[]@&=;".utf8.contains(byte) else {
        throw input.error("an unknown escape '\\\(Character(Unicode.Scalar(byte)))'")
      }
      bytes += [0x5c, byte]
    }
  }

  private func unit() throws -> UInt32 {
    let braced = try input.take(0x7b)
    var value: UInt32 = 0
    var digits = 0
    while digits < (braced ? 6 : 4), let byte = try input.peek(), let digit = Characters.hex(byte) {
      value = value << 4 | digit
      digits += 1
      input.skip()
    }
    guard braced ? try digits > 0 && input.take(0x7d) : digits == 4 else { throw input.error("an escape needs four hexadecimal digits") }
    return value
  }

  /// The id of a reference; the `@` is taken already.
  mutating func ref(into builder: inout PackedBuilder) throws {
    if let id = input.takeInPlace(while: Characters.isRef), !id.isEmpty { return builder.ref(id) }
    scratch.removeAll(keepingCapacity: true)
    try input.take(into: &scratch, while: Characters.isRef)
    guard !scratch.isEmpty else { throw input.error("expected a reference's id, found \(try input.shown())") }
    builder.ref(scratch)
  }

  /// A symbol; the `^` is taken already.
  mutating func symbol(into builder: inout PackedBuilder) throws {
    scratch.removeAll(keepingCapacity: true)
    try input.take(into: &scratch, while: Characters.isRef)
    guard !scratch.isEmpty else { throw input.error("expected a symbol, found \(try input.shown())") }
    builder.text(Packed.Kind.symbol, scratch)
  }

  /// A number, date, time or moment: what begins with a digit or a minus.
  mutating func numeric(into builder: inout PackedBuilder) throws {
    if try isDigit(0), try isDigit(1) {
      if try input.peek(2) == 0x3a { return builder.time(try time()) }
      if try isDigit(2), try isDigit(3), try input.peek(4) == 0x2d { return try dateOrMoment(into: &builder) }
    }
    if try input.peek() == 0x30, try input.peek(1) == 0x78 { return try hexadecimal(into: &builder) }
    scratch.removeAll(keepingCapacity: true)
    if try input.take(0x2d) { scratch.append(0x2d) }
    if try input.peek() == UInt8(ascii: "I") {
      try input.expect("INF")
      return builder.number(-.infinity, unit: [])
    }
    try digits()
    if try input.peek() == 0x2e, try isDigit(1) {
      input.skip()
      scratch.append(0x2e)
      try digits()
    }
    if let letter = try input.peek(), letter == 0x65 || letter == 0x45 {
      let sign = try input.peek(1)
      let signed = sign == 0x2b || sign == 0x2d
      if try isDigit(signed ? 2 : 1) {
        scratch.append(letter)
        input.skip()
        if signed, let sign {
          scratch.append(sign)
          input.skip()
        }
        try digits()
      }
    }
    let value = decimal(scratch)
    var unit: [UInt8] = []
    try input.take(into: &unit, limit: 255, while: Characters.isUnit)
    try input.validate(unit[...])
    builder.number(value, unit: unit)
  }

  /// Digits, in groups if the writer liked that: an underscore is part of the number only between two of them.
  private mutating func digits() throws {
    let before = scratch.count
    repeat { try input.take(into: &scratch, limit: 400, while: Characters.isDigit) } while try takeGroup()
    guard scratch.count > before else { throw input.error("expected a digit, found \(try input.shown())") }
  }

  private func takeGroup() throws -> Bool {
    guard try input.peek() == 0x5f, try isDigit(1) else { return false }
    input.skip()
    return true
  }

  private mutating func hexadecimal(into builder: inout PackedBuilder) throws {
    input.skip()
    input.skip()
    var value: UInt64 = 0
    var count = 0
    while let byte = try input.peek(), byte == 0x5f || Characters.hex(byte) != nil {
      input.skip()
      guard let digit = Characters.hex(byte) else { continue }
      count += 1
      guard count <= 16 else { throw input.error("a hexadecimal number has more than 16 digits") }
      value = value << 4 | UInt64(digit)
    }
    guard count > 0 else { throw input.error("expected a hexadecimal digit, found \(try input.shown())") }
    builder.number(Double(value), unit: [])
  }

  private func isDigit(_ ahead: Int) throws -> Bool { try input.peek(ahead).map(Characters.isDigit) ?? false }

  private func number(_ count: Int) throws -> Int {
    var value = 0
    for _ in 0..<count {
      guard let byte = try input.peek(), Characters.isDigit(byte) else { throw input.error("expected a digit, found \(try input.shown())") }
      value = value * 10 + Int(byte - 0x30)
      input.skip()
    }
    return value
  }

  func date() throws -> HDate {
    let year = try number(4)
    try input.expect("-")
    let month = try number(2)
    try input.expect("-")
    guard let date = HDate(year: year, month: month, day: try number(2)) else { throw input.error("the calendar has no such date") }
    return date
  }

  func time() throws -> HTime {
    let hour = try number(2)
    try input.expect(":")
    let minute = try number(2)
    var second = 0
    var fraction = 0
    if try input.take(0x3a) {
      second = try number(2)
      if try input.take(0x2e) {
        var count = 0
        while let byte = try input.peek(), Characters.isDigit(byte) {
          input.skip()
          if count < 9 { fraction = fraction * 10 + Int(byte - 0x30) }
          count += 1
        }
        guard count > 0 else { throw input.error("expected a digit, found \(try input.shown())") }
        for _ in min(count, 9)..<9 { fraction *= 10 }
      }
    }
    guard let time = HTime(hour: hour, minute: minute, second: second, nanosecond: fraction) else {
      throw input.error("no clock shows this time")
    }
    return time
  }

  private mutating func dateOrMoment(into builder: inout PackedBuilder) throws {
    let date = try date()
    guard try input.take(UInt8(ascii: "T")) else { return builder.date(date) }
    builder.dateTime(try moment(date))
  }

  /// What follows a date's `T`.
  mutating func moment(_ date: HDate) throws -> HDateTime {
    let time = try time()
    var offset = 0
    if try input.take(UInt8(ascii: "Z")) || input.take(UInt8(ascii: "z")) {
      offset = 0
    } else {
      let west = try input.peek() == 0x2d
      guard try input.take(0x2b) || input.take(0x2d) else { throw input.error("expected an offset, found \(try input.shown())") }
      offset = try number(2) * 3600
      try input.expect(":")
      offset += try number(2) * 60
      if west { offset = -offset }
    }
    var zone = "UTC"
    if try input.peek() == 0x20, let letter = try input.peek(1), Characters.isUpper(letter) {
      input.skip()
      scratch.removeAll(keepingCapacity: true)
      try input.take(into: &scratch, limit: 255, while: Characters.isZone)
      zone = String(decoding: scratch, as: UTF8.self)
    } else if offset != 0 {
      zone = ""
    }
    guard let moment = HDateTime(date: date, time: time, offset: offset, zone: zone) else { throw input.error("a moment is out of range") }
    return moment
  }
}

/// A decimal number. Short ones are exact without the C library; the rest is its business.
func decimal(_ text: [UInt8]) -> Double {
  var value: UInt64 = 0
  var point: Int?
  let negative = text.first == 0x2d
  if text.count <= 16 {
    var plain = true
    for (index, byte) in text.enumerated() where !(negative && index == 0) {
      if Characters.isDigit(byte) { value = value * 10 + UInt64(byte - 0x30) } else if byte == 0x2e { point = index } else { plain = false }
    }
    if plain {
      let scaled = Double(value) / powersOfTen[point.map { text.count - 1 - $0 } ?? 0]
      return negative ? -scaled : scaled
    }
  }
  return text.withUnsafeBufferPointer { bytes in
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes.count + 1) { copy in
      for index in bytes.indices { copy[index] = CChar(bitPattern: bytes[index]) }
      copy[bytes.count] = 0
      return copy.baseAddress.map { strtod($0, nil) } ?? .nan
    }
  }
}

private let powersOfTen: [Double] = (0...22).reduce(into: [1.0]) { powers, _ in powers.append((powers.last ?? 1) * 10) }
