import FerrySystem

/// Bytes of a text as they come, with the place where they stand. Holds one block, however long the text is.
public final class TextReader {
  private let refill: (Int) throws -> [UInt8]
  private let name: String
  private var block: [UInt8] = []
  private var position = 0
  private var isOver = false
  private var line = 1
  /// Bytes before the block, and up to the line's beginning.
  private var consumed = 0
  private var lineStart = 0

  /// A text that comes in blocks; an empty block is its end. `name` is what errors call it.
  public init(_ name: String, _ refill: @escaping (Int) throws -> [UInt8]) {
    self.name = name
    self.refill = refill
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
    let index = position + ahead
    if index < block.count { return block[index] }
    return try peekFar(ahead)
  }

  @inline(never) private func peekFar(_ ahead: Int) throws -> UInt8? {
    while position + ahead >= block.count {
      if isOver { return nil }
      let more = try refill(1 << 16)
      if more.isEmpty {
        isOver = true
        return nil
      }
      consumed += position
      block.removeFirst(position)
      position = 0
      block += more
    }
    return block[position + ahead]
  }

  /// Takes the byte that `peek` has shown.
  @inline(__always) func skip() {
    if block[position] == 0x0a {
      line += 1
      lineStart = consumed + position + 1
    }
    position += 1
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
      let start = position
      let end = block.withUnsafeBufferPointer { block in
        var end = start
        while end < block.count, fits(block[end]) { end += 1 }
        if end > start { bytes.append(contentsOf: UnsafeBufferPointer(rebasing: block[start..<end])) }
        return end
      }
      if fits(0x0a) { for place in start..<end where block[place] == 0x0a { (line, lineStart) = (line + 1, consumed + place + 1) } }
      position = end
      if bytes.count - before > limit { throw error("a value is longer than \(limit) bytes") }
      if end < block.count { break }
    }
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
    FerryError(.invalid, "\(name):\(line):\(consumed + position - lineStart + 1): \(message)")
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
  func validate(_ bytes: ArraySlice<UInt8>) throws {
    if bytes.allSatisfy({ $0 < 0x80 }) { return }
    guard String(validating: bytes, as: UTF8.self) != nil else { throw error("a text is not UTF-8") }
  }
}
