import FerrySystem
import Glibc

/// Compares two listings (lines `digest<TAB>path`, sorted by path) side by side, a line of each in memory.
enum ListingComparison {
  static func compare(_ old: String, _ new: String) throws -> Drift {
    let before = try Listing(old)
    let after = try Listing(new)
    var drift = Drift()
    func note(_ kind: WritableKeyPath<Drift, Int64>, _ mark: String, _ path: [UInt8]) {
      drift[keyPath: kind] += 1
      if drift.examples.count < 100 { drift.examples.append("\(mark) \(String(decoding: path, as: UTF8.self))") }
    }
    var left = try before.next()
    var right = try after.next()
    while left != nil || right != nil {
      if let old = left, let new = right, old.path == new.path {
        if old.digest != new.digest { note(\.changed, "changed", old.path) }
        left = try before.next()
        right = try after.next()
      } else if let old = left, right.map({ raw(old.path).lexicographicallyPrecedes(raw($0.path)) }) ?? true {
        note(\.missing, "missing", old.path)
        left = try before.next()
      } else if let new = right {
        note(\.added, "added", new.path)
        right = try after.next()
      }
    }
    return drift
  }

  /// Listings are sorted by the bytes of the path, of which a line shows some as `\xNN`.
  private static func raw(_ path: [UInt8]) -> [UInt8] {
    guard path.contains(0x5c) else { return path }
    var bytes: [UInt8] = []
    var rest = path[...]
    while let byte = rest.popFirst() {
      if byte == 0x5c, rest.first == 0x78, let value = UInt8(String(decoding: rest.dropFirst().prefix(2), as: UTF8.self), radix: 16) {
        bytes.append(value)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return bytes
  }

  private final class Listing {
    private let file: Descriptor
    private var buffer: [UInt8] = []
    private var start = 0

    init(_ path: String) throws { file = try Descriptor.open(path, O_RDONLY) }

    func next() throws -> (digest: [UInt8], path: [UInt8])? {
      while true {
        if let end = buffer[start...].firstIndex(of: 10) {
          let line = buffer[start..<end]
          start = end + 1
          guard let tab = line.firstIndex(of: 9) else { throw FerryError(.internal, "a listing has a line without a tab") }
          return (Array(line[..<tab]), Array(line[(tab + 1)...]))
        }
        buffer.removeFirst(start)
        start = 0
        let more = try file.read(upTo: 1 << 16)
        if more.isEmpty { return nil }
        buffer += more
      }
    }
  }
}
