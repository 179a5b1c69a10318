import FerrySystem
import Glibc

/// A provider's durable memory: a file for each key, replaced atomically.
struct HostMemory: Sendable {
  static let valueLimit = 1 << 20
  private let folder: String
  private let writing = Lock(())
  private let changes: Lock<Int?>

  /// `diesAfter`: how many changes of it this process lives to see.
  init(folder: String, diesAfter: Int? = nil) throws {
    try Files.makeFolder(folder)
    self.folder = folder
    changes = Lock(diesAfter)
  }

  /// A change is on disk. Where a test wants to know what becomes of one who dies just then, this is the moment.
  private func changed() {
    let isLast = changes.withLock { left in
      left = left.map { $0 - 1 }
      return left == 0
    }
    if isLast { kill(getpid(), SIGKILL) }
  }

  /// The value, or nil.
  func get(_ key: String) throws -> [UInt8]? {
    let path = try path(key)
    do { return try Files.read(path, limit: Self.valueLimit) } catch let error as FerryError where error.class == .notFound { return nil }
  }

  /// Puts a value; it is on disk when this returns.
  func put(_ key: String, _ value: [UInt8]) throws {
    guard value.count <= Self.valueLimit else {
      throw FerryError(.invalid, "the value of '\(key)' has \(value.count) bytes and may have \(Self.valueLimit)")
    }
    try writing.withLock { _ in try Files.replace(path(key), with: value) }
    changed()
  }

  func remove(_ key: String) throws {
    let path = try path(key)
    guard unlink(path) == 0 else {
      if errno == ENOENT { return }
      throw FerryError(errno: errno, "cannot remove \(path)")
    }
    try Files.syncFolder(of: path)
    changed()
  }

  /// What another folder holds, for a look that must change nothing there.
  static func copy(from folder: String, to other: String) throws {
    let names = Files.names(in: folder)
    if !names.isEmpty { try Files.makeFolder(other) }
    for name in names { try Files.replace("\(other)/\(name)", with: Files.read("\(folder)/\(name)", limit: valueLimit)) }
  }

  private func path(_ key: String) throws -> String {
    let valid = key.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 46 || $0 == 95 || $0 == 45 }
    guard valid, (1...64).contains(key.utf8.count), !key.hasPrefix(".") else {
      throw FerryError(.invalid, "'\(key.prefix(80))' is no key: 1 to 64 of a-z 0-9 . _ -, not starting with a dot")
    }
    // A suffix keeps the temporary names of a replacement out of the keys' space.
    return "\(folder)/\(key)=value"
  }
}
