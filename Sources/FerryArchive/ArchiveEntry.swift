import CArchive
import FerrySystem
import FerryTree
import Glibc

/// One entry of an archive.
public struct ArchiveEntry: Sendable {
  /// As the archive has it: nothing about it was checked.
  public var path: [UInt8]
  /// What it is.
  public var kind: EntryKind
  /// Owner, mode, time, attributes.
  public var metadata: EntryMetadata
  /// Bytes of a file's content.
  public var size: Int64 = 0
  /// Where a link points.
  public var target: [UInt8] = []
  /// The path of another entry that is the same file; as the archive has it.
  public var hardLink: [UInt8]?
  /// What a device file names.
  public var device: UInt64 = 0
  /// Where a sparse file has data; empty for one that is not sparse.
  public var extents: [Range<Int64>] = []

  /// An entry without content.
  public init(path: [UInt8], kind: EntryKind, metadata: EntryMetadata) {
    self.path = path
    self.kind = kind
    self.metadata = metadata
  }
}

/// What was read or written.
public struct ArchiveReport: Sendable, Hashable {
  /// Entries.
  public var entries: Int64 = 0
  /// Bytes of content, holes included.
  public var bytes: Int64 = 0
  /// What an archive cannot hold, or what went away or changed while it was read: path and reason, the first hundred.
  public var notices: [String] = []
  /// How many there are of these.
  public var noticed: Int64 = 0

  /// Nothing.
  public init() {}

  mutating func note(_ what: String) {
    noticed += 1
    if notices.count < 100 { notices.append(what) }
  }
}

/// A handle of libarchive. Names are bytes to it: in any other locale than C it would turn them into what it takes for the same text.
final class ArchiveHandle {
  let pointer: OpaquePointer
  private let isReader: Bool
  private nonisolated(unsafe) static let plain = newlocale(1 << LC_CTYPE, "C", nil)

  init(reader: Bool) throws {
    guard let pointer = reader ? archive_read_new() : archive_write_new() else { throw FerryError(.internal, "no memory for an archive") }
    self.pointer = pointer
    isReader = reader
  }

  deinit { if isReader { archive_read_free(pointer) } else { archive_write_free(pointer) } }

  func plainly<Value>(_ body: (OpaquePointer) throws -> Value) rethrows -> Value {
    let before = uselocale(Self.plain)
    defer { uselocale(before) }
    return try body(pointer)
  }

  /// Throws for what libarchive did not do.
  func check(_ result: Int32, _ what: String) throws { if result != ARCHIVE_OK { throw failure(what) } }

  func failure(_ what: String) -> FerryError {
    let text = archive_error_string(pointer).map { String(cString: $0) } ?? "an unknown error"
    return FerryError(.io, "\(what): \(TreePath.escaped(Array(text.utf8)))")
  }
}

/// pax writes a time as a decimal number, libarchive as whole seconds and a fraction after them, below zero too.
enum ArchiveTime {
  static func parts(_ time: FileTime) -> (seconds: Int, nanoseconds: Int) {
    guard time.seconds < 0, time.nanoseconds > 0 else { return (Int(time.seconds), Int(time.nanoseconds)) }
    return (Int(time.seconds + 1), 1_000_000_000 - Int(time.nanoseconds))
  }

  /// Times of the last second before 1970 have no sign in libarchive's hands: the fraction is lost.
  static func isExact(_ time: FileTime) -> Bool { time.seconds != -1 || time.nanoseconds == 0 }

  static func time(_ seconds: Int, _ nanoseconds: Int) -> FileTime {
    guard seconds < 0, nanoseconds > 0 else { return FileTime(seconds: Int64(seconds), nanoseconds: UInt32(clamping: nanoseconds)) }
    return FileTime(seconds: Int64(seconds) - 1, nanoseconds: UInt32(clamping: 1_000_000_000 - nanoseconds))
  }
}

/// libarchive writes names of attributes with `%XX` for what is no plain character, and reads them back as they are written.
enum AttributeName {
  private static func isPlain(_ byte: UInt8) -> Bool { byte > 32 && byte < 127 && byte != 0x25 && byte != 0x3d }

  /// Whether others than libarchive read this name as it is.
  static func isPlain(_ name: [UInt8]) -> Bool { name.allSatisfy(isPlain) }

  /// The name that libarchive was given. One that it cannot have written is left alone.
  static func decoded(_ name: [UInt8]) -> [UInt8] {
    var (plain, rest) = ([UInt8](), name[...])
    while let byte = rest.popFirst() {
      if isPlain(byte) {
        plain.append(byte)
      } else if byte == 0x25, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), rest.count > 1, !isPlain(value)
      {
        plain.append(value)
        rest = rest.dropFirst(2)
      } else {
        return name
      }
    }
    return plain
  }
}
