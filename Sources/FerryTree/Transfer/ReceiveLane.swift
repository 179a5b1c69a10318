import CLinux
import CXXHash
import FerrySystem
import Glibc

/// One thread of the receiving end: applies a lane's records. Nothing in them is believed before it was looked at.
final class ReceiveLane: @unchecked Sendable {
  let job: ReceiveJob
  let queue = BlockQueue()
  let scratch: LeafScratch
  private(set) var late: [ReceiveJob.Late] = []
  private(set) var changed: Int64 = 0
  let number: UInt16
  private var leaves = TreeLeaf()
  private var count: UInt32 = 0
  private var isClosed = false
  private var unreported: Int64 = 0
  /// Bytes of content that went into the page cache.
  var unflushed: Int64 = 0
  private var made = 0

  /// The folder that the stream is in.
  private(set) var folder: Int32 = -1
  private(set) var folderGivesGroup = false
  private(set) var folderGivesAccess = false
  private var folderPath: [UInt8] = []
  private var names: Set<UInt64>?
  var large: LargeFile?
  /// Where a block with holes is put together to be hashed; zeros otherwise.
  private(set) lazy var assembly: UnsafeMutableRawBufferPointer = {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: TreeBlock.content, alignment: 4096)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    hasAssembly = true
    return bytes
  }()
  private var hasAssembly = false

  init(_ job: ReceiveJob, number: Int) {
    self.job = job
    self.number = UInt16(number)
    scratch = LeafScratch(path: job.options.limits.path)
  }
  deinit {
    if folder >= 0 { Glibc.close(folder) }
    if hasAssembly { assembly.deallocate() }
  }

  /// Applies blocks until the lane's last word.
  func run() throws {
    defer { discardLarge() }
    while !isClosed, let block = queue.pop() {
      var bytes: Int64 = 0
      while block.position < block.end {
        guard block.end - block.position >= TreeRecord.headSize, let record = TreeRecord(from: block.base + block.position),
          block.end - block.position >= record.length
        else { throw Self.nonsense("a record that is none") }
        var place = block.base + block.position + TreeRecord.headSize
        func part(_ length: some BinaryInteger) -> UnsafeRawBufferPointer {
          defer { place += Int(length) }
          return UnsafeRawBufferPointer(start: place, count: Int(length))
        }
        let (name, extra) = (part(record.nameLength), part(record.extraLength))
        place += Int(record.padding)
        try apply(record, name, extra, part(record.bodyLength))
        block.position += record.length
        bytes += Int64(record.bodyLength)
      }
      job.pool.recycle(block)
      try job.progress(entries: unreported, bytes: bytes)
      // An inode and its place in a folder are about a page.
      job.early.note(unflushed + 4096 * unreported)
      (unreported, unflushed) = (0, 0)
    }
    // The stream was cut: what it began is no file.
    if !isClosed {
      try job.check()
      throw TreeWire.lost
    }
  }

  static func nonsense(_ what: String) -> FerryError {
    FerryError(.peer, "the stream holds \(what); nothing of it was applied", hint: "the other end is broken, or not what it should be")
  }

  private func apply(_ record: TreeRecord, _ name: UnsafeRawBufferPointer, _ extra: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer)
    throws
  {
    if isClosed { throw Self.nonsense("records after its end") }
    switch record.use {
    case .folder: return try enter(extra)
    case .close: return try close(record)
    default: break
    }
    guard folder >= 0 else { throw Self.nonsense("an entry without a folder") }
    if large != nil, record.use != .data, record.use != .end { throw Self.nonsense("an entry inside of another") }
    switch record.use {
    case .entry, .link, .remove:
      guard TreeRecord.isName(name) else { throw Self.nonsense("a name that is no name in a folder") }
      scratch.look(at: name)
    default: break
    }
    switch record.use {
    case .entry: try entry(record, name, extra, body)
    case .data: try data(record, body)
    case .end: try end(record)
    case .names: try keep(record, body)
    case .remove: try job.erase(folder, name, path: scratch.path)
    case .link: try link(record, extra)
    case .itself: try itself(record, extra)
    case .folder, .close: break
    }
  }

  // MARK: Folders

  private func enter(_ path: UnsafeRawBufferPointer) throws {
    guard large == nil, names == nil else { throw Self.nonsense("a folder inside of something else") }
    guard path.count <= job.options.limits.path, TreeRecord.isPath(path), scratch.enter(path) else {
      throw Self.nonsense("a path that does not stay below the root")
    }
    if folder >= 0 { Glibc.close(folder) }
    folder = -1
    let opened = try reach(path)
    folder = opened.descriptor
    folderPath = Array(path)
    guard let status = TreeStatus(descriptor: folder) else { throw job.root.failure(errno, "cannot look at", path) }
    if status.raw.st_mode & 0o700 != 0o700, geteuid() != 0 { fchmod(folder, 0o700) }
    folderGivesGroup = status.raw.st_mode & S_ISGID != 0
    folderGivesAccess = false
    let access = ExtendedAttributes.accessControl[1]
    if clinux_fgetxattr(folder, access, nil, 0) > 0 {
      // A new one has it from what lies above the root, and the tree knows nothing of that.
      if opened.isNew { clinux_fremovexattr(folder, access) } else { folderGivesAccess = true }
    }
  }

  private func reach(_ path: UnsafeRawBufferPointer) throws -> (descriptor: Int32, isNew: Bool) {
    for _ in 0..<8 {
      do {
        return try job.root.make(path) { parent, name, end in
          try job.clear(parent, name, path: UnsafeRawBufferPointer(rebasing: path[..<end]))
        }
      } catch let error as FerryError where !job.isFinal && error.code == TreeRoot.raced {}
    }
    return (try job.root.limbo(temporaryName().dropLast()), true)
  }

  /// In a tree that is in use what an entry lies in may be gone by now. Then the entry is missing here, which the ends find out and set
  /// right; in the last pass it is an error.
  func miss(_ error: any Error, _ leaf: TreeLeaf) throws {
    guard !job.isFinal, (error as? FerryError)?.code == TreeRoot.raced else { throw error }
    job.turns.alone { job.forget(scratch.path) }
    note(leaf)
  }

  /// What is not among the names goes.
  private func keep(_ record: TreeRecord, _ body: UnsafeRawBufferPointer) throws {
    if record.flags.contains(.first) { names = [] }
    guard var kept = names else { throw Self.nonsense("names without a beginning") }
    names = nil
    var rest = body
    while let length = rest.first.map(Int.init) {
      guard rest.count > length else { throw Self.nonsense("names without an end") }
      kept.insert(XXH3_64bits_withSeed(rest.baseAddress.map { $0 + 1 }, length, job.index.seed))
      rest = UnsafeRawBufferPointer(rebasing: rest[(length + 1)...])
    }
    guard record.flags.contains(.last) else { return names = kept }
    let arena = ByteArena()
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    defer { buffer.deallocate() }
    // A descriptor of its own: reading moves the position.
    let own = clinux_openat(folder, ".", O_RDONLY | O_DIRECTORY, 0)
    guard own >= 0 else { throw job.root.failure(-own, "cannot read", scratch.path) }
    defer { Glibc.close(own) }
    let failed = arena.list(own, buffer)
    guard failed == 0 else { throw job.root.failure(-failed, "cannot read", scratch.path) }
    let temporary = Array(job.temporary.utf8)
    try arena.forEach { name in
      guard !kept.contains(XXH3_64bits_withSeed(name.baseAddress, name.count, job.index.seed)), !name.starts(with: temporary) else {
        return
      }
      scratch.look(at: name)
      try job.erase(folder, name, path: scratch.path)
    }
  }

  private func itself(_ record: TreeRecord, _ extra: UnsafeRawBufferPointer) throws {
    guard record.kind == .folder else { throw Self.nonsense("a folder that is none") }
    try checkAttributes(extra)
    scratch.look(at: UnsafeRawBufferPointer(start: nil, count: 0))
    let leaf = scratch.leaf(record.meta, content: TreeLeaf(), attributes: extra.isEmpty ? TreeLeaf() : TreeLeaf(of: extra))
    note(leaf)
    late.append(ReceiveJob.Late(path: folderPath, record: record, extra: Array(extra), leaf: leaf))
  }

  private func link(_ record: TreeRecord, _ extra: UnsafeRawBufferPointer) throws {
    guard extra.count > 32, record.kind != .folder else { throw Self.nonsense("a link to nothing") }
    let original = UnsafeRawBufferPointer(rebasing: extra[32...])
    guard TreeRecord.isPath(original), original.count <= job.options.limits.path else {
      throw Self.nonsense("a link to what does not lie below the root")
    }
    func hash(_ place: Int) -> TreeLeaf {
      TreeLeaf(
        low: extra.loadUnaligned(fromByteOffset: place, as: UInt64.self),
        high: extra.loadUnaligned(fromByteOffset: place + 8, as: UInt64.self))
    }
    let (content, attributes) = (hash(0), hash(16))
    let leaf = scratch.leaf(record.meta, content: content, attributes: attributes)
    note(leaf)
    late.append(
      ReceiveJob.Late(
        path: Array(scratch.path), record: record, extra: Array(original), leaf: leaf, content: content, attributes: attributes))
  }

  // MARK: Counting

  func note(_ leaf: TreeLeaf) {
    leaves += leaf
    count &+= 1
    changed += 1
    unreported += 1
  }

  /// Without its last word, or with another sum than the sender's, a lane was cut or damaged.
  private func close(_ record: TreeRecord) throws {
    guard large == nil, names == nil else { throw Self.nonsense("an end in the middle") }
    guard record.owner == count, record.size == leaves.low, UInt64(bitPattern: record.seconds) == leaves.high else {
      throw FerryError(.io, "what arrived is not what was sent: the sums of a stream differ", hint: "resume the run; it sends that again")
    }
    isClosed = true
  }

  func checkAttributes(_ bytes: UnsafeRawBufferPointer) throws {
    var isAllowed = bytes.count <= job.options.limits.attributes
    let isWhole = AttributeScratch.parse(bytes) { name, _ in if !job.options.form.holds(Array(name)) { isAllowed = false } }
    guard isWhole, isAllowed else { throw Self.nonsense("attributes that were not agreed on") }
  }

  /// A name that is surely nobody's.
  func temporaryName() -> [UInt8] {
    made += 1
    return Array("\(job.temporary)\(number)-\(made)".utf8) + [0]
  }
}
