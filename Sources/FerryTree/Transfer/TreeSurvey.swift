import CLinux
import FerrySystem
import Glibc

/// A walk over a tree by several threads that comes to the sum of its leaves. What looks as the index says is not read again.
final class TreeSurvey: @unchecked Sendable {
  private let root: TreeRoot
  private let options: TreeOptions
  private let known: TreeIndex?
  /// What was found, if it was to be kept.
  let gathered: TreeIndex
  private let gathers: Bool
  private let stack = SendStack()
  private let failure = Lock<FerryError?>(nil)
  private let total = Lock((sum: TreeLeaf(), count: Int64(0), bytes: Int64(0)))

  private let reported = Lock((bytes: Int64(0), entries: Int64(0)))

  private struct Shared {
    var paths: [[UInt8]]
    var size: Int64
    var content: (TreeLeaf, TreeLeaf)?
  }
  private let shared = Lock<[FileIdentity: Shared]>([:])

  init(_ root: TreeRoot, _ options: TreeOptions, known: TreeIndex?, seed: UInt64, gathers: Bool) {
    (self.root, self.options, self.known, self.gathers) = (root, options, known, gathers)
    gathered = TreeIndex(seed: seed)
  }

  func run() throws {
    stack.push(.folder([]))
    let lanes = (0..<max(1, options.lanes)).map { _ in Lane(self) }
    _ = try Threads.map(lanes) { lane in
      do { try lane.run() } catch {
        self.failure.withLock { if $0 == nil { $0 = FerryError.wrap(error) } }
        self.stack.end()
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// Files with several names, as they were found.
  var links: TreeLinks {
    let links = TreeLinks()
    func key(_ path: [UInt8]) -> UInt64 { path.withUnsafeBytes { TreeIndex.key($0, gathered.seed) } }
    for group in shared.withLock({ $0 }).values {
      for path in group.paths.dropFirst() { links.join(path, key(path), to: group.paths[0], key(group.paths[0]), size: group.size) }
    }
    return links
  }

  var result: (sum: TreeLeaf, count: Int64, bytes: Int64) {
    var result = total.withLock { $0 }
    for group in shared.withLock({ $0 }).values where group.paths.count > 1 { result.sum += TreeLinks.leaf(group.paths) }
    return result
  }

  /// One of its threads.
  private final class Lane: @unchecked Sendable {
    private let survey: TreeSurvey
    private let scratch: LeafScratch
    private let attributes: AttributeScratch
    private let names = ByteArena()
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: TreeBlock.content, alignment: 4096)
    private var folder: Int32 = -1
    private var sum = TreeLeaf()
    private var count: Int64 = 0
    private var bytes: Int64 = 0
    private var unreported: (bytes: Int64, entries: Int64) = (0, 0)

    init(_ survey: TreeSurvey) {
      self.survey = survey
      scratch = LeafScratch(path: survey.options.limits.path)
      attributes = AttributeScratch(survey.options)
    }
    deinit { buffer.deallocate() }

    func run() throws {
      var isBusy = false
      while let work = survey.stack.next(afterOne: isBusy) {
        isBusy = true
        guard case .folder(let path) = work else { continue }
        if survey.options.cancellation?.isCancelled == true { throw FerryError(.cancelled, "the digest was cancelled") }
        try path.withUnsafeBytes { try scan($0) }
        report()
      }
      survey.total.withLock { total in
        total.sum += sum
        total.count += count
        total.bytes += bytes
      }
    }

    private func report() {
      guard let progress = survey.options.progress else { return }
      let (bytes, entries) = unreported
      unreported = (0, 0)
      guard bytes + entries > 0 else { return }
      let all = survey.reported.withLock { all in
        all.bytes += bytes
        all.entries += entries
        return all
      }
      progress(all.bytes, all.entries)
    }

    private func scan(_ path: UnsafeRawBufferPointer) throws {
      guard scratch.enter(path) else { throw survey.root.failure(ENAMETOOLONG, "cannot read", path) }
      folder = survey.root.open(path)
      guard folder >= 0, let status = TreeStatus(descriptor: folder) else { throw survey.root.failure(-folder, "cannot open", path) }
      defer { close(folder) }
      let isEntered = !survey.options.oneFileSystem || UInt64(status.raw.st_dev) == survey.root.device
      let failed = isEntered ? names.list(folder, buffer) : 0
      guard failed == 0 else { throw survey.root.failure(-failed, "cannot read", path) }
      if !isEntered { names.clear() }
      try take(status) {
        let failed = attributes.read(descriptor: folder)
        guard failed == 0 else { throw survey.root.failure(-failed, "cannot read the attributes of", path) }
        return (TreeLeaf(), status.size, attributes.leaf)
      }
      try names.forEach { name in
        // Names of an arena have an address and end in NUL.
        try look(at: name, name.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self))
      }
    }

    private func look(at name: UnsafeRawBufferPointer, _ text: UnsafePointer<CChar>) throws {
      scratch.look(at: name)
      guard let status = TreeStatus(folder: folder, text) else { throw survey.root.failure(errno, "cannot look at", scratch.path) }
      guard survey.options.holds(scratch.path, status.kind) else { return }
      if status.kind == .folder { return survey.stack.push(.folder(Array(scratch.path))) }
      guard status.isShared else { return try take(status) { try read(status, text) } }
      let path = Array(scratch.path)
      let before = survey.shared.withLock { shared in
        shared[status.identity, default: Shared(paths: [], size: status.size)].paths.append(path)
        return shared[status.identity]
      }
      let isFirst = before?.paths.count == 1
      try take(status, counts: isFirst) {
        if let (content, attributes) = before?.content {
          return (content, status.size, attributes)
        }
        let found = try read(status, text)
        survey.shared.withLock { $0[status.identity]?.content = (found.0, found.2) }
        return found
      }
    }

    /// Adds what is at the path; it is read only if it does not look as it did.
    private func take(_ status: TreeStatus, counts: Bool = true, _ read: () throws -> (TreeLeaf, Int64, TreeLeaf)) throws {
      count += 1
      unreported.entries += 1
      let key = scratch.key(survey.gathered.seed)
      let stamp = status.stamp
      var slot: TreeIndex.Slot
      if let known = survey.known?.find(key), known.stamp == stamp {
        slot = known
      } else {
        let (content, size, attributes) = try read()
        var meta: TreeMeta
        do { meta = try status.meta(survey.options, isReceiving: survey.gathers) } catch {
          throw FerryError.wrap(error).inside(TreePath.escaped(Array(scratch.path)))
        }
        if status.kind == .file { meta.size = UInt64(size) }
        slot = TreeIndex.Slot(key: key, stamp: stamp, leaf: scratch.leaf(meta, content: content, attributes: attributes))
      }
      slot.size = status.size
      if counts { bytes += status.size }
      sum += slot.leaf
      if survey.gathers { survey.gathered.set(slot) }
    }

    private func read(_ status: TreeStatus, _ text: UnsafePointer<CChar>) throws -> (TreeLeaf, Int64, TreeLeaf) {
      let found = try SurveyedEntry.read(folder, text, status, attributes, buffer, survey.options.cancellation) { bytes in
        unreported.bytes += bytes
        if bytes == Int64(TreeBlock.content) { report() }
      }
      switch found {
      case .success(let found): return (found.0, found.1, attributes.leaf)
      case .failure(let failed): throw survey.root.failure(failed.code, "cannot read", scratch.path)
      }
    }
  }
}

/// What an entry holds, read without sending it.
struct SurveyedEntry {
  var meta: TreeMeta
  var content: TreeLeaf
  var attributes: TreeLeaf

  struct Failure: Error { var code: Int32 }

  /// At a path below the root; nil if it is no more.
  static func read(_ root: TreeRoot, _ path: [UInt8], _ options: TreeOptions, _ buffer: UnsafeMutableRawBufferPointer) throws
    -> SurveyedEntry?
  {
    let slash = path.lastIndex(of: 0x2f)
    let folder = path[..<(slash ?? 0)].withUnsafeBytes { root.open($0) }
    guard folder >= 0 else { return nil }
    defer { close(folder) }
    return try path[(slash.map { $0 + 1 } ?? 0)...].withUnsafeBytes { name in
      try TreeRoot.withText(name) { text in
        guard let status = TreeStatus(folder: folder, text) else { return nil }
        let attributes = AttributeScratch(options)
        guard case .success(let found) = try read(folder, text, status, attributes, buffer, options.cancellation, { _ in }) else {
          return nil
        }
        var meta = try status.meta(options)
        if status.kind == .file { meta.size = UInt64(found.1) }
        return SurveyedEntry(meta: meta, content: found.0, attributes: attributes.leaf)
      }
    }
  }

  /// The hash of content and the length that was found; the attributes are in their scratch afterwards.
  static func read(
    _ folder: Int32, _ text: UnsafePointer<CChar>, _ status: TreeStatus, _ attributes: AttributeScratch,
    _ buffer: UnsafeMutableRawBufferPointer,
    _ cancellation: Cancellation?, _ progress: (Int64) -> Void
  ) throws -> Result<(TreeLeaf, Int64), Failure> {
    if status.kind == .file {
      let file = clinux_open_quietly(folder, text)
      guard file >= 0 else { return .failure(Failure(code: -file)) }
      defer { close(file) }
      let failed = attributes.read(descriptor: file)
      guard failed == 0 else { return .failure(Failure(code: -failed)) }
      var broken: Int32 = 0
      let (blocks, size) = try ContentFile.hash(file, size: status.size, hasHoles: status.hasHoles, buffer, &broken) { bytes in
        progress(bytes)
        if bytes == Int64(TreeBlock.content), cancellation?.isCancelled == true { throw FerryError(.cancelled, "the digest was cancelled") }
      }
      return broken == 0 ? .success((blocks.leaf, size)) : .failure(Failure(code: broken))
    }
    let failed = attributes.isForAll ? attributes.read(folder: folder, name: text) : attributes.clear()
    guard failed == 0 else { return .failure(Failure(code: -failed)) }
    guard status.kind == .link, let start = buffer.baseAddress else { return .success((TreeLeaf(), 0)) }
    let length = readlinkat(folder, text, start.assumingMemoryBound(to: CChar.self), 8192)
    return length < 0 ? .failure(Failure(code: errno)) : .success((TreeLeaf(of: UnsafeRawBufferPointer(rebasing: buffer[..<length])), 0))
  }
}
