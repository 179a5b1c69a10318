import CLinux
import FerrySystem
import Glibc

/// One thread of the sending end. It takes a folder, looks at what is in it, and sends what the receiver does not have.
final class SendLane: @unchecked Sendable {
  static let largeFile: Int64 = 4 << 20
  static let manyNames = 1024

  let job: SendJob
  let writer: LaneWriter
  let scratch: LeafScratch
  let attributes: AttributeScratch
  private let names = ByteArena()
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: TreeBlock.content, alignment: 4096)
  private(set) var report = TreeReport()

  /// The folder that the lane is in, and whether the receiver knows.
  private(set) var folder: Int32 = -1
  private var folderPath: [UInt8] = []
  private var folderIsSaid = false
  /// Something of it was sent, so that its times have to be set again.
  var folderIsTouched = false
  private var unreported: Int64 = 0

  init(_ job: SendJob, _ wire: TreeWire, lane: Int) {
    self.job = job
    writer = LaneWriter(wire, lane: lane)
    scratch = LeafScratch(path: job.options.limits.path)
    attributes = AttributeScratch(job.options)
  }
  deinit { buffer.deallocate() }

  func run() throws {
    writer.sent = { [unowned self] bytes in note(bytes: Int64(bytes)) }
    var isBusy = false
    while let work = job.stack.next(afterOne: isBusy) {
      isBusy = true
      if job.options.cancellation?.isCancelled == true { throw FerryError(.cancelled, "the pass was cancelled") }
      switch work {
      case .folder(let path): try enter(path) { try scan($0) }
      case .itself(let path): try sendFolder(path)
      case .part(let path, let packed, let listed): try enter(path) { _ in try part(packed, listed: listed) }
      case .file(let path, let name):
        try enter(path) { _ in
          try name.withUnsafeBytes { bytes in try TreeRoot.withText(bytes) { try look(at: bytes, $0, listed: true, whole: true) } }
        }
      }
    }
    try job.check()
    try writer.flush()
    note(bytes: 0)
  }

  private func note(bytes: Int64) {
    job.progress(entries: unreported, bytes: bytes)
    unreported = 0
  }

  /// Opens a folder for as long as the work takes.
  private func enter(_ path: [UInt8], _ work: (TreeStatus) throws -> Void) throws {
    try path.withUnsafeBytes { bytes in
      guard scratch.enter(bytes) else { return try job.trouble(ENAMETOOLONG, "cannot send", bytes) }
      folder = job.root.open(bytes)
      guard folder >= 0 else {
        // What a tracker named may be gone by now; it named the folder above as well.
        if job.isTracked, [-ENOENT, -ENOTDIR, -ELOOP].contains(folder) { return }
        return try job.trouble(-folder, "cannot open", bytes)
      }
      defer {
        close(folder)
        folder = -1
      }
      guard let status = TreeStatus(descriptor: folder) else { return try job.trouble(errno, "cannot look at", bytes) }
      (folderPath, folderIsSaid, folderIsTouched) = (path, false, false)
      try work(status)
    }
  }

  /// The receiver is told once where the lane is.
  func sayFolder() throws {
    folderIsTouched = true
    if folderIsSaid { return }
    folderIsSaid = true
    try folderPath.withUnsafeBytes { try writer.add(TreeRecord(.folder), extra: $0) }
  }

  // MARK: Folders

  /// A folder's own metadata.
  func sendFolder(_ path: [UInt8]) throws { try enter(path) { try sendItself($0, isScanned: false) } }

  private func scan(_ status: TreeStatus) throws {
    report.entries += 1
    let isEntered = !job.options.oneFileSystem || UInt64(status.raw.st_dev) == job.root.device
    let failed = isEntered ? names.list(folder, buffer) : 0
    guard failed == 0 else { return try job.trouble(-failed, "cannot read", scratch.path) }
    if !isEntered { names.clear() }
    let known = job.index.find(scratch.key(job.index.seed))
    let stamp = job.stamp(status)
    let looksSame = known != nil && stamp != 0 && known?.stamp == stamp
    if known != nil && (job.namesAll || !looksSame) { try sendNames() }
    if names.names > Self.manyNames {
      try splitNames()
    } else {
      try names.forEach { name in try look(at: name, Self.text(name), listed: true, whole: false) }
      scratch.look(at: UnsafeRawBufferPointer(start: nil, count: 0))
    }
    if !looksSame || folderIsTouched { try sendItself(status, isScanned: true) }
  }

  private func part(_ packed: [UInt8], listed: Bool) throws {
    try packed.withUnsafeBytes { packed in
      var place = 0
      while place < packed.count {
        let length = Int(packed[place])
        let name = UnsafeRawBufferPointer(rebasing: packed[(place + 1)..<(place + 1 + length)])
        try TreeRoot.withText(name) { try look(at: name, $0, listed: listed, whole: false) }
        place += length + 1
      }
    }
    scratch.look(at: UnsafeRawBufferPointer(start: nil, count: 0))
    if folderIsTouched, let status = TreeStatus(descriptor: folder) { try sendItself(status, isScanned: false) }
  }

  private func splitNames() throws {
    var packed: [UInt8] = []
    var count = 0
    names.forEach { name in
      packed.append(UInt8(name.count))
      packed.append(contentsOf: name)
      count += 1
      if count == Self.manyNames / 2 {
        job.stack.push(.part(folder: folderPath, names: packed, listed: true))
        (packed, count) = ([], 0)
      }
    }
    if count > 0 { job.stack.push(.part(folder: folderPath, names: packed, listed: true)) }
  }

  /// All names of the folder, so that the receiver can remove what is none of them.
  private func sendNames() throws {
    try sayFolder()
    var packed: [UInt8] = []
    var flags: TreeRecord.Flags = .first
    try names.forEach { name in
      if packed.count + name.count + 1 > TreeBlock.content / 2 {
        try packed.withUnsafeBytes { try writer.add(TreeRecord(.names, flags), body: $0) }
        (packed, flags) = ([], [])
      }
      packed.append(UInt8(name.count))
      packed.append(contentsOf: name)
    }
    try packed.withUnsafeBytes { try writer.add(TreeRecord(.names, flags.union(.last)), body: $0) }
  }

  /// `isScanned`: its names were compared as well. If not, it must not look as if they had been.
  private func sendItself(_ status: TreeStatus, isScanned: Bool) throws {
    let meta: TreeMeta
    do { meta = try status.meta(job.options) } catch { return try refuse(error) }
    let failed = attributes.read(descriptor: folder)
    guard failed == 0 else { return try lackAttributes(-failed) }
    let leaf = scratch.leaf(meta, content: TreeLeaf(), attributes: attributes.leaf)
    let key = scratch.key(job.index.seed)
    let slot = TreeIndex.Slot(key: key, stamp: isScanned ? job.stamp(status) : 0, leaf: leaf)
    guard !isScanned || folderIsTouched || job.index.find(key)?.leaf != leaf else { return job.index.restamp(key, slot.stamp, size: 0) }
    try sayFolder()
    try attributes.bytes.withUnsafeBytes { try writer.add(TreeRecord(.itself, meta), extra: $0) }
    writer.count(leaf)
    job.index.set(slot)
    report.changed += 1
  }

  /// Those of the entry could not be read, or one of them is refused, which ends any pass.
  func lackAttributes(_ code: Int32) throws {
    guard let name = attributes.refusal else { return try job.trouble(code, "cannot read the attributes of", scratch.path) }
    throw FerryError(
      .unsupported, "\(TreePath.escaped(Array(scratch.path))) has the attribute \(TreePath.escaped(name))",
      code: TreeSender.refusedAttribute)
  }

  private func refuse(_ error: any Error) throws {
    let error = FerryError.wrap(error)
    throw FerryError(error.class, "cannot send \(TreePath.escaped(Array(scratch.path))): \(error.message)", hint: error.hint)
  }

  // MARK: Entries

  private static func text(_ name: UnsafeRawBufferPointer) -> UnsafePointer<CChar> {
    // Names of an arena have an address and end in NUL.
    name.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self)
  }

  /// Looks at a name of the folder. `whole`: it is a large file that became work of its own.
  private func look(at name: UnsafeRawBufferPointer, _ text: UnsafePointer<CChar>, listed: Bool, whole: Bool) throws {
    scratch.look(at: name)
    let key = scratch.key(job.index.seed)
    var raw = stat()
    guard fstatat(folder, text, &raw, AT_SYMLINK_NOFOLLOW) == 0 else { return try missing(errno, name, key, listed: listed) }
    guard let status = TreeStatus(raw) else { return try job.trouble(ENOTSUP, "no kind that Ferry knows:", scratch.path) }
    guard job.options.holds(scratch.path, status.kind) else { return try drop(name, key) }
    if status.kind == .folder {
      job.links.leave(key)
      let path = Array(scratch.path)
      return job.stack.push(listed || job.index.find(key) == nil ? .folder(path) : .itself(path))
    }
    if !whole {
      report.entries += 1
      unreported += 1
    }
    let stamp = job.stamp(status)
    // What the receiver has there may be another file's name: then it is as good as nothing.
    let known = job.index.find(key).flatMap { job.match.fits(key, status) ? $0 : nil }
    let looksSame = known != nil && stamp != 0 && known?.stamp == stamp
    var group: TreeLinks.Group?
    if whole {
      // Decided when it became work of its own.
    } else if status.isShared {
      switch job.links.meet(status, key, Array(scratch.path), isKnown: looksSame, pass: job.pass.number) {
      case .unchanged: return
      case .content(let first): group = first
      case .link(let first):
        folderIsTouched = true
        return job.later(SendJob.Link(folder: folderPath, name: Array(name), key: key, stamp: stamp, group: first))
      }
    } else {
      job.links.leave(key)
      if looksSame { return }
    }
    if status.kind == .file, status.size >= Self.largeFile, !whole, group == nil {
      folderIsTouched = true
      return job.stack.push(.file(folder: folderPath, name: Array(name)))
    }
    let meta: TreeMeta
    do { meta = try status.meta(job.options) } catch { return try refuse(error) }
    let entry = SendEntry(name: name, text: text, status: status, meta: meta, key: key, stamp: stamp, known: known)
    guard let sent = try status.kind == .file ? sendFile(entry) : sendSpecial(entry) else { return }
    group?.settled = (sent.meta, sent.content, attributes.leaf)
  }

  /// A name is not there (any more).
  func missing(_ code: Int32, _ name: UnsafeRawBufferPointer, _ key: UInt64, listed: Bool) throws {
    guard code == ENOENT || code == ENOTDIR else { return try job.trouble(code, "cannot look at", scratch.path) }
    if listed { try job.trouble(code, "cannot look at", scratch.path) }
    try drop(name, key)
  }

  /// The receiver must not keep a name that it may have.
  private func drop(_ name: UnsafeRawBufferPointer, _ key: UInt64) throws {
    guard job.index.find(key) != nil else { return }
    try sayFolder()
    try writer.add(TreeRecord(.remove), name: name)
  }

  /// Entries that have no content of their own to be read: links, fifos, sockets, devices.
  private func sendSpecial(_ entry: SendEntry) throws -> SentContent? {
    var length = 0
    if entry.meta.kind == .link {
      length = readlinkat(folder, entry.text, buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self), 8192)
      guard length >= 0 else {
        try missing(errno, entry.name, entry.key, listed: true)
        return nil
      }
    }
    let failed = job.options.form.attributes == .all ? attributes.read(folder: folder, name: entry.text) : attributes.clear()
    guard failed == 0 else {
      try missing(-failed, entry.name, entry.key, listed: true)
      return nil
    }
    let target = UnsafeRawBufferPointer(rebasing: buffer[..<length])
    let content = entry.meta.kind == .link ? TreeLeaf(of: target) : TreeLeaf()
    let leaf = scratch.leaf(entry.meta, content: content, attributes: attributes.leaf)
    let slot = TreeIndex.Slot(key: entry.key, stamp: entry.stamp, leaf: leaf)
    // A name of several is sent again even so: the receiver makes the others links to it.
    if entry.known?.leaf == leaf, !entry.status.isShared {
      job.index.restamp(entry.key, entry.stamp, size: 0)
    } else {
      try sayFolder()
      try attributes.bytes.withUnsafeBytes { try writer.add(TreeRecord(.entry, entry.meta), name: entry.name, extra: $0, body: target) }
      settle(slot, bytes: Int64(length))
    }
    return SentContent(meta: entry.meta, content: content)
  }

  /// What was sent is what the receiver will have.
  func settle(_ slot: TreeIndex.Slot, bytes: Int64) {
    writer.count(slot.leaf)
    job.index.set(slot)
    report.changed += 1
    report.bytes += bytes
  }
}

/// An entry that is about to be sent.
struct SendEntry {
  let name: UnsafeRawBufferPointer
  let text: UnsafePointer<CChar>
  let status: TreeStatus
  let meta: TreeMeta
  let key: UInt64
  let stamp: UInt64
  let known: TreeIndex.Slot?
}

/// What an entry turned out to hold.
struct SentContent {
  var meta: TreeMeta
  var content: TreeLeaf
}
