import FerrySystem
import Glibc

/// The digest of a whole tree: a Merkle tree over names, metadata and content.
///
/// Each entry has a leaf: its kind, mode, owner, modification time, content or target or device, the first path of the same file where
/// it has several, and its extended attributes. A folder's digest is its leaf and, sorted, the name and digest of each child; the root
/// folder's is the tree's. A listing holds the leaves, so two of them name the paths that differ, and no other.
public enum TreeDigest {
  /// What was computed.
  public struct Result: Sendable, Hashable {
    /// Hex.
    public var root: String
    /// All entries below the root folder.
    public var entries: Int64
    /// Bytes of content; a file with several names counts once.
    public var bytes: Int64
    /// Entries that could not be read or vanished; only ever in a tolerant walk.
    public var skipped: Int64

    /// A digest.
    public init(root: String, entries: Int64, bytes: Int64, skipped: Int64 = 0) {
      self.root = root
      self.entries = entries
      self.bytes = bytes
      self.skipped = skipped
    }
  }

  /// How to compute.
  public struct Options: Sendable {
    /// What content and metadata are hashed with.
    public var algorithm = HashAlgorithm.xxh3
    /// What counts.
    public var form = TreeForm()
    /// Only these paths count, if given; a folder's children only if the folder is among them.
    public var selection: TreeSelection?
    /// Owners as they count, where they are others on this disk.
    public var owners: (any OwnerMapping)?
    /// Hashes of earlier passes.
    public var cache: DigestCache?
    /// Whether the cache may be believed; what is read is remembered in any case.
    public var trustsCache = true
    /// A file to write the listing to.
    public var listing: String?
    /// Goes on over what vanishes or cannot be read: for a tree that is in use.
    public var isTolerant = false
    /// Told how many bytes and entries are done; from any thread.
    public var progress: (@Sendable (_ bytes: Int64, _ entries: Int64) -> Void)?
    /// Ends it early, with `cancelled`.
    public var cancellation: Cancellation?

    /// All defaults.
    public init() {}
  }

  /// Digests the tree at a path.
  public static func compute(root: String, _ options: Options = Options()) throws -> Result {
    let folder = try TreeFolder(root: root)
    options.cache?.begin(folder, trusting: options.trustsCache)
    let digester = try TreeDigester(options)
    // Even a walk that fails has read much: what it learned need not be read again.
    do { try TreeWalk.run(folder, digester) } catch {
      options.cache?.end(complete: false)
      throw error
    }
    options.cache?.end(complete: true)
    return try digester.result()
  }
}

/// Paths that were chosen, relative to a root; the root itself is always among them.
public struct TreeSelection: Sendable {
  private let includes: @Sendable (_ path: [UInt8], _ kind: EntryKind) -> Bool

  /// Just these.
  public init(_ paths: some Sequence<[UInt8]>) {
    let paths = Set(paths)
    includes = { path, _ in paths.contains(path) }
  }

  /// Those of which this says so. It is asked from several threads.
  public init(_ includes: @escaping @Sendable (_ path: [UInt8], _ kind: EntryKind) -> Bool) { self.includes = includes }

  /// Whether a path is among them.
  public func contains(_ path: [UInt8], _ kind: EntryKind) -> Bool { path.isEmpty || includes(path, kind) }
}

private final class TreeDigester: TreeVisitor {
  private struct Level {
    var leaves: [TreeHash?]
    var digests: [TreeHash?]
    var entries: [TreeEntry]
  }

  private let options: TreeDigest.Options
  private let reader: ContentReader
  private let hasher: ContentHasher
  private let listing: DigestListing?
  private let bytes: Lock<Int64>
  private var levels: [Level] = []
  private var shared: [FileIdentity: (path: [UInt8], memory: DigestCache.Memory)] = [:]
  private var entries: Int64 = 0
  private var skipped: Int64 = 0
  private var size: Int64 = 0
  private var root: TreeHash?

  init(_ options: TreeDigest.Options) throws {
    self.options = options
    let bytes = Lock<Int64>(0)
    self.bytes = bytes
    reader = ContentReader(options.algorithm, form: options.form, owners: options.owners, cancellation: options.cancellation) { more in
      bytes.withLock { $0 += more }
    }
    hasher = ContentHasher(options.algorithm)
    listing = try options.listing.map { try DigestListing(path: $0) }
  }

  func result() throws -> TreeDigest.Result {
    guard let root else { throw FerryError(.internal, "a digest has no root") }
    try listing?.finish()
    options.progress?(bytes.withLock { $0 }, entries)
    return TreeDigest.Result(root: root.hex, entries: entries, bytes: size, skipped: skipped)
  }

  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
    if let cancellation = options.cancellation, cancellation.isCancelled { throw FerryError(.cancelled, "the digest was cancelled") }
    options.progress?(bytes.withLock { $0 }, self.entries)
    entries.removeAll { entry in
      !options.form.holds(entry) || options.selection.map { !$0.contains(TreePath.joined(folder.path, entry.name), entry.kind) } ?? false
    }
    if levels.isEmpty { try visitRoot(folder, entry) }
    var level = Level(leaves: [], digests: Array(repeating: nil, count: entries.count), entries: entries)
    level.leaves = try memories(folder, entries).enumerated().map { index, memory in
      try memory.flatMap { try leaf(folder, entries[index], $0) }
    }
    levels.append(level)
  }

  /// The root has no parent that lists it, so its leaf and its line are made when it opens.
  private func visitRoot(_ folder: TreeFolder, _ entry: TreeEntry) throws {
    let memory = try memories(folder, [entry])[0]
    let leaf = try memory.flatMap { try self.leaf(folder, entry, $0) }
    levels.append(Level(leaves: [leaf], digests: [nil], entries: [entry]))
    if let leaf { try listing?.add(leaf, []) }
  }

  func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) throws {
    let last = levels.count - 1
    guard let leaf = levels[last].leaves[index] else { return }
    entries += 1
    try listing?.add(leaf, TreePath.joined(folder.path, entry.name))
    if entry.kind != .folder { levels[last].digests[index] = leaf }
  }

  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) throws {
    let level = levels.removeLast()
    let parent = levels.count - 1
    guard let own = levels[parent].leaves[index ?? 0] else { return }
    var record = CanonicalRecord()
    record.add(own)
    for (child, digest) in zip(level.entries, level.digests) {
      guard let digest else { continue }
      record.add(child.name)
      record.add(digest)
    }
    hasher.update(Array("folder".utf8) + record.bytes)
    let digest = hasher.finish()
    levels[parent].digests[index ?? 0] = digest
    if index == nil { root = digest }
  }

  func failed(_ error: FerryError, path: [UInt8]) throws {
    guard options.isTolerant, error.class != .cancelled else { throw error }
    skipped += 1
  }

  /// What entries of a folder hash to, by the cache or by reading; nil for what a tolerant walk skips.
  private func memories(_ folder: TreeFolder, _ entries: [TreeEntry]) throws -> [DigestCache.Memory?] {
    var memories = entries.map { shared[$0.identity]?.memory ?? options.cache?.recall($0) }
    let missing = entries.indices.filter { memories[$0] == nil }
    for (index, result) in zip(missing, try reader.read(folder, missing.map { entries[$0] })) {
      switch result {
      case .success(let memory):
        memories[index] = memory
        options.cache?.remember(entries[index], memory)
      case .failure(let error): try failed(error, path: TreePath.joined(folder.path, entries[index].name))
      }
    }
    return memories
  }

  private func leaf(_ folder: TreeFolder, _ entry: TreeEntry, _ memory: DigestCache.Memory) throws -> TreeHash? {
    let first = shared[entry.identity]?.path
    if options.form.joins(entry), first == nil { shared[entry.identity] = (TreePath.joined(folder.path, entry.name), memory) }
    var record = CanonicalRecord()
    record.add(entry.kind.rawValue)
    record.add(entry.mode)
    if options.form.owners {
      // What is outside the map stays as it is: it cannot have been sent.
      record.add(options.owners?.inStream(user: entry.owner) ?? entry.owner)
      record.add(options.owners?.inStream(group: entry.group) ?? entry.group)
    }
    record.add(entry.modified.seconds)
    record.add(options.form.fractions ? entry.modified.nanoseconds : 0)
    switch entry.kind {
    case .file:
      record.add(entry.size)
      record.add(memory.content)
      if first == nil { size += entry.size }
    case .link:
      do { record.add(try folder.target(of: entry.name, size: entry.size)) } catch let error as FerryError {
        try failed(error, path: TreePath.joined(folder.path, entry.name))
        return nil
      }
    case .characterDevice, .blockDevice: record.add(entry.deviceNumber)
    case .folder, .fifo, .socket: break
    }
    record.add(memory.attributes)
    record.add(first ?? [])
    hasher.update(Array("entry".utf8) + record.bytes)
    return hasher.finish()
  }
}
