import FerrySystem

/// Bytes of a text as they come, with the place where they stand. Holds one block, however long the text is.
public final class TextReader {
  private let refill: (Int) throws -> [UInt8]
  private let name: String
  /// Where the reader stands. Behind a pointer: the runtime watches each access to a variable of a class, which costs more than a byte's reading.
  private let place = UnsafeMutablePointer<Place>.allocate(capacity: 1)

  private struct Place {
    var block = UnsafeMutablePointer<UInt8>.allocate(capacity: 0)
    var count = 0
    var capacity = 0
    var position = 0
    var isOver = false
    var line = 1
    /// Bytes before the block, and up to the line's beginning.
    var consumed = 0
    var lineStart = 0

    /// Forgets what was read, and appends a block.
    mutating func advance(to more: [UInt8]) {
      let rest = count - position
      if rest + more.count > capacity {
        capacity = rest + more.count
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        larger.update(from: block + position, count: rest)
        block.deallocate()
        block = larger
      } else {
        block.update(from: block + position, count: rest)
      }
      more.withUnsafeBufferPointer { if let start = $0.baseAddress { (block + rest).update(from: start, count: $0.count) } }
      consumed += position
      (position, count) = (0, rest + more.count)
    }

    /// The line ends with the byte at an index of the block.
    mutating func endLine(at index: Int) {
      line += 1
      lineStart = consumed + index + 1
    }
  }

  /// A text that comes in blocks; an empty block is its end. `name` is what errors call it.
  public init(_ name: String, _ refill: @escaping (Int) throws -> [UInt8]) {
    self.name = name
    self.refill = refill
    place.initialize(to: Place())
  }

  deinit {
    place.pointee.block.deallocate()
    place.deallocate()
  }

  /// A text that is there.
  public convenience init(_ name: String = "text", text: some StringProtocol) { self.init(name, bytes: Array(text.utf8)) }

  /// Bytes that are there.
  public convenience init(_ name: String, bytes: [UInt8]) {
    var rest: [UInt8]? = bytes
    self.init(name) { _ in
      defer { rest = nil }
      return rest ?? []
    }
  }

  /// A file, read in blocks.
  public convenience init(path: String) throws {
    let file = try Descriptor.open(path, 0)
    self.init(path) { try file.read(upTo: $0) }
  }

  /// The byte so many places ahead, or nil beyond the end.
  @inline(__always) func peek(_ ahead: Int = 0) throws -> UInt8? {
    let index = place.pointee.position + ahead
    if index < place.pointee.count { return place.pointee.block[index] }
    return try peekFar(ahead)
  }

  @inline(never) private func peekFar(_ ahead: Int) throws -> UInt8? {
    while place.pointee.position + ahead >= place.pointee.count {
      if place.pointee.isOver { return nil }
      let more = try refill(1 << 16)
      if more.isEmpty {
        place.pointee.isOver = true
        return nil
      }
      place.pointee.advance(to: more)
    }
    return place.pointee.block[place.pointee.position + ahead]
  }

  /// Takes the byte that `peek` has shown.
  @inline(__always) func skip() {
    if place.pointee.block[place.pointee.position] == 0x0a { place.pointee.endLine(at: place.pointee.position) }
    place.pointee.position += 1
  }

  /// The next byte, or nil at the end.
  @inline(__always) func next() throws -> UInt8? {
    guard let byte = try peek() else { return nil }
    skip()
    return byte
  }

  /// Takes a byte if it is the next.
  @inline(__always) func take(_ byte: UInt8) throws -> Bool {
    guard try peek() == byte else { return false }
    skip()
    return true
  }

  /// Appends bytes while they fit.
  @inline(__always) func take(into bytes: inout [UInt8], limit: Int = Packed.maximumText, while fits: (UInt8) -> Bool) throws {
    let before = bytes.count
    while try peek() != nil {
      // A piece of the block at once.
      let piece = run(fits)
      bytes.append(contentsOf: piece)
      if fits(0x0a) { for index in piece.indices where piece[index] == 0x0a { place.pointee.endLine(at: place.pointee.position + index) } }
      place.pointee.position += piece.count
      if bytes.count - before > limit { throw error("a value is longer than \(limit) bytes") }
      if place.pointee.position < place.pointee.count { break }
    }
  }

  /// Takes bytes that fit and no end of a line, and with `closing` the byte behind them, if all that lies in the block; for the time until the next
  /// call. Nil: it has to be taken piece by piece.
  @inline(__always) func takeInPlace(closing: UInt8? = nil, while fits: (UInt8) -> Bool) -> UnsafeBufferPointer<UInt8>? {
    let piece = run { $0 != 0x0a && fits($0) }
    let end = place.pointee.position + piece.count
    guard end < place.pointee.count, piece.count <= Packed.maximumText, closing == nil || place.pointee.block[end] == closing else {
      return nil
    }
    place.pointee.position = closing == nil ? end : end + 1
    return piece
  }

  /// The bytes from here on that fit, as far as the block goes.
  @inline(__always) private func run(_ fits: (UInt8) -> Bool) -> UnsafeBufferPointer<UInt8> {
    let (block, start, count) = (place.pointee.block, place.pointee.position, place.pointee.count)
    var end = start
    while end < count, fits(block[end]) { end += 1 }
    return UnsafeBufferPointer(start: block + start, count: end - start)
  }

  /// Takes these bytes, or says what is missing.
  func expect(_ text: StaticString) throws {
    for index in 0..<text.utf8CodeUnitCount {
      guard try take(text.utf8Start[index]) else { throw error("expected '\(text)', found \(try shown())") }
    }
  }

  /// Skips spaces and tabs.
  func skipSpaces() throws { while let byte = try peek(), byte == 0x20 || byte == 0x09 { skip() } }

  /// An error at this place.
  public func error(_ message: String) -> FerryError {
    let place = place.pointee
    return FerryError(.invalid, "\(name):\(place.line):\(place.consumed + place.position - place.lineStart + 1): \(message)")
  }

  /// What stands here, for an error.
  func shown() throws -> String {
    guard let byte = try peek() else { return "the end" }
    if byte == 0x0a { return "the end of the line" }
    var bytes: [UInt8] = []
    var ahead = 0
    while ahead < 12, let byte = try peek(ahead), byte > 0x20 {
      bytes.append(byte)
      ahead += 1
    }
    return bytes.isEmpty ? "a space" : "'\(String(decoding: bytes, as: UTF8.self))'"
  }

  /// Throws unless the bytes are UTF-8.
  func validate(_ bytes: some Collection<UInt8>) throws {
    if bytes.allSatisfy({ $0 < 0x80 }) { return }
    guard String(validating: bytes, as: UTF8.self) != nil else { throw error("a text is not UTF-8") }
  }
}
