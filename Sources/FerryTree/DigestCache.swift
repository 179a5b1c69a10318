import CLinux
import FerrySystem
import Glibc

/// Remembers between passes what files hashed to, so that a digest in the outage reads only what changed. Durable: one file.
///
/// A file counts as unchanged while its size, modification and change time are. That is safe because nothing is remembered whose change
/// time is not older than the last flush before it was read: a later write, one through an old memory map as well, then leaves a newer
/// change time. (A flush makes mapped pages read-only again, so the next write through the map is stamped.)
public final class DigestCache: @unchecked Sendable {
  struct Memory {
    var content: TreeHash
    var attributes: TreeHash
  }

  private struct Record {
    var device: UInt64
    var inode: UInt64
    var size: Int64
    var modified: FileTime
    var changed: FileTime
    var content: TreeHash
    var attributes: TreeHash
  }

  private let path: String
  private let header: [UInt8]
  private var known: [FileIdentity: Record] = [:]
  private var seen: [Record] = []
  private var horizon: FileTime?

  /// Opens what an earlier pass left at `path`, or starts empty. What another algorithm, form or version left is not used.
  public init(path: String, algorithm: HashAlgorithm, form: TreeForm) {
    self.path = path
    header = Array("ferry-digests/1 \(algorithm.rawValue) \(form.stamp) \(MemoryLayout<Record>.stride)\n".utf8)
    load()
  }

  /// Call before a walk. `trusting: false` forgets everything.
  func begin(_ root: TreeFolder, trusting: Bool) {
    seen = []
    if !trusting { known = [:] }
    let now = FileTime.now
    // What lives in memory alone is never flushed, so nothing says when a mapped page of it changes.
    let flushes = clinux_is_memory(root.descriptor.number) == 0 && clinux_syncfs(root.descriptor.number) == 0
    horizon = flushes ? now : nil
    if horizon == nil { known = [:] }
  }

  func recall(_ entry: TreeEntry) -> Memory? {
    guard let record = known[entry.identity], record.size == entry.size, record.modified == entry.modified,
      record.changed == entry.changed
    else { return nil }
    seen.append(record)
    return Memory(content: record.content, attributes: record.attributes)
  }

  func remember(_ entry: TreeEntry, _ memory: Memory) {
    guard let horizon, entry.changed < horizon else { return }
    seen.append(
      Record(
        device: entry.identity.device, inode: entry.identity.inode, size: entry.size, modified: entry.modified, changed: entry.changed,
        content: memory.content, attributes: memory.attributes))
  }

  /// Call after a walk: what was seen replaces what was known, or adds to it if the walk did not come to its end. A cache that cannot be
  /// written costs time, nothing else.
  func end(complete: Bool) {
    if complete { known = [:] }
    for record in seen { known[FileIdentity(device: record.device, inode: record.inode)] = record }
    if !complete { seen = Array(known.values) }
    let bytes = header + seen.withUnsafeBytes { Array($0) }
    seen = []
    try? Files.replace(path, with: bytes + Self.sum(bytes))
  }

  private func load() {
    guard let bytes = try? Files.read(path, limit: 1 << 30), bytes.count >= header.count + 16, bytes.starts(with: header) else { return }
    guard Self.sum(Array(bytes.dropLast(16))) == Array(bytes.suffix(16)) else { return }
    let stride = MemoryLayout<Record>.stride
    let count = (bytes.count - header.count - 16) / stride
    known.reserveCapacity(count)
    bytes.withUnsafeBytes { buffer in
      for index in 0..<count {
        let record = buffer.loadUnaligned(fromByteOffset: header.count + index * stride, as: Record.self)
        known[FileIdentity(device: record.device, inode: record.inode)] = record
      }
    }
  }

  private static func sum(_ bytes: [UInt8]) -> [UInt8] {
    let hasher = ContentHasher(.xxh3)
    hasher.update(bytes)
    return hasher.finish().bytes
  }
}
