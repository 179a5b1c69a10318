import Haystack

/// Some names of tags that every tag of every record is compared with: the first letter and the length rule out nearly all others.
struct NameSet {
  private let names: [[UInt8]]
  /// For each first letter, a bit for each length.
  private var lengths: [UInt32] = Array(repeating: 0, count: 256)

  init(_ texts: some Sequence<String>) {
    names = texts.map { Array($0.utf8) }
    for name in names { if let first = name.first { lengths[Int(first)] |= Self.bit(name.count) } }
  }

  private static func bit(_ count: Int) -> UInt32 { 1 << UInt32(min(count, 31)) }

  func contains(_ name: UnsafeRawBufferPointer) -> Bool {
    guard let first = name.first, lengths[Int(first)] & Self.bit(name.count) != 0 else { return false }
    return names.contains { $0.withUnsafeBytes { name.equals($0) } }
  }
}
