import FerrySystem
import Glibc

/// Hashes files, in two lanes where that pays: most machines have a second core, and one file waits while another is hashed.
final class ContentReader: @unchecked Sendable {
  private final class Lane: @unchecked Sendable {
    let hasher: ContentHasher
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 19, alignment: 4096)
    init(_ algorithm: HashAlgorithm) { hasher = ContentHasher(algorithm) }
    deinit { buffer.deallocate() }
  }

  private let lanes: [Lane]
  private let form: TreeForm
  private let owners: (any OwnerMapping)?
  private let cancellation: Cancellation?
  private let report: @Sendable (Int64) -> Void

  init(
    _ algorithm: HashAlgorithm, form: TreeForm, owners: (any OwnerMapping)?, cancellation: Cancellation?,
    report: @escaping @Sendable (Int64) -> Void
  ) {
    lanes = [Lane(algorithm), Lane(algorithm)]
    self.form = form
    self.owners = owners
    self.cancellation = cancellation
    self.report = report
  }

  /// The hashes of entries of one folder, in their order.
  func read(_ folder: TreeFolder, _ entries: [TreeEntry]) throws -> [Result<DigestCache.Memory, FerryError>] {
    let bytes = entries.reduce(0) { $0 + ($1.kind == .file ? $1.size : 0) }
    // A thread costs about as much as hashing some ten small files.
    guard entries.count > 32 || (entries.count > 1 && bytes > 1 << 20) else { return try entries.map { try attempt(folder, $0, lanes[0]) } }
    let next = Lock(0)
    let parts = try Threads.map(lanes) { lane in
      var done: [(Int, Result<DigestCache.Memory, FerryError>)] = []
      while true {
        let index = next.withLock { next in
          defer { next += 1 }
          return next
        }
        guard index < entries.count else { return done }
        done.append((index, try self.attempt(folder, entries[index], lane)))
      }
    }
    return parts.joined().sorted { $0.0 < $1.0 }.map(\.1)
  }

  private func attempt(_ folder: TreeFolder, _ entry: TreeEntry, _ lane: Lane) throws -> Result<DigestCache.Memory, FerryError> {
    do {
      guard entry.kind == .file else {
        return .success(DigestCache.Memory(content: TreeHash(), attributes: try attributes(folder, entry, nil, lane)))
      }
      let file = try folder.open(entry.name, O_RDONLY | O_NONBLOCK)
      let content = try content(folder, entry, file, lane)
      return .success(DigestCache.Memory(content: content, attributes: try attributes(folder, entry, file, lane)))
    } catch let error as FerryError where error.class != .cancelled { return .failure(error) }
  }

  private func content(_ folder: TreeFolder, _ entry: TreeEntry, _ file: Descriptor, _ lane: Lane) throws -> TreeHash {
    if entry.size > Int64(lane.buffer.count) {
      // Read once and in order; pages that the running service uses are not to be pushed out by ours.
      posix_fadvise(file.number, 0, 0, Int32(POSIX_FADV_SEQUENTIAL))
      posix_fadvise(file.number, 0, 0, Int32(POSIX_FADV_NOREUSE))
    }
    var done: Int64 = 0
    while true {
      let count = Glibc.read(file.number, lane.buffer.baseAddress, lane.buffer.count)
      if count < 0 {
        if errno == EINTR { continue }
        let code = errno
        _ = lane.hasher.finish()
        throw folder.failure(code, "cannot read", entry.name)
      }
      if count == 0 { break }
      lane.hasher.update(UnsafeRawBufferPointer(rebasing: lane.buffer[..<count]))
      report(Int64(count))
      done += Int64(count)
      // Most files are small: no second call to hear that there is no more.
      if count < lane.buffer.count, done >= entry.size { break }
      if count == lane.buffer.count, let cancellation, cancellation.isCancelled {
        _ = lane.hasher.finish()
        throw FerryError(.cancelled, "the digest was cancelled")
      }
    }
    return lane.hasher.finish()
  }

  private func attributes(_ folder: TreeFolder, _ entry: TreeEntry, _ file: Descriptor?, _ lane: Lane) throws -> TreeHash {
    guard form.attributes != .none || form.accessControl else { return TreeHash() }
    let all = try file.map { try ExtendedAttributes.read(folder, entry.name, open: $0) } ?? ExtendedAttributes.read(folder, entry.name)
    let found = try EntryMetadata.inStream(all, form, owners)
    if found.isEmpty { return TreeHash() }
    var record = CanonicalRecord()
    for (name, value) in found {
      record.add(name)
      record.add(value)
    }
    lane.hasher.update(record.bytes)
    return lane.hasher.finish()
  }
}
