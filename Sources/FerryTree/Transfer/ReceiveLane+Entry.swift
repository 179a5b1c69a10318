import CLinux
import FerrySystem
import Glibc

extension ReceiveLane {
  func entry(_ record: TreeRecord, _ name: UnsafeRawBufferPointer, _ extra: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer) throws {
    try checkAttributes(extra)
    switch record.kind {
    case .folder: throw Self.nonsense("a folder among the entries")
    case .file where record.flags.contains(.large): try beginLarge(record, name, extra)
    case .file:
      guard record.size == UInt64(body.count) else { throw Self.nonsense("a file of another length than it says") }
      do { try small(record, name, extra, body) } catch { try miss(error, leaf(record, TreeLeaf(of: body), extra)) }
    default:
      do { try special(record, name, extra, body) } catch {
        try miss(error, leaf(record, record.kind == .link ? TreeLeaf(of: body) : TreeLeaf(), extra))
      }
    }
  }

  private func small(_ record: TreeRecord, _ name: UnsafeRawBufferPointer, _ extra: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer)
    throws
  {
    let mode = plainMode(record, extra)
    try complete(name, leaf(record, TreeLeaf(of: body), extra), size: Int64(body.count)) { text in
      let file = clinux_openat(folder, text, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode ?? 0o600)
      guard file >= 0 else { throw Unmade(code: -file) }
      defer { Glibc.close(file) }
      try write(file, body, at: 0, flags: 0)
      try dress(file, record, extra, hasMode: mode != nil)
      return TreeStatus(descriptor: file)
    }
  }

  /// The mode that a file may have from its making on: one that neither the process's mask, nor its folder, nor an attribute changes, and
  /// that no later step takes away. nil if there is none, and it is given in the end.
  private func plainMode(_ record: TreeRecord, _ extra: UnsafeRawBufferPointer) -> UInt32? {
    let mode = UInt32(record.mode & 0o7777)
    guard extra.isEmpty, !folderGivesAccess, mode & 0o7000 == 0, mode & job.mask == 0 else { return nil }
    return mode
  }

  func leaf(_ record: TreeRecord, _ content: TreeLeaf, _ extra: UnsafeRawBufferPointer) -> TreeLeaf {
    scratch.leaf(record.meta, content: content, attributes: extra.isEmpty ? TreeLeaf() : TreeLeaf(of: extra))
  }

  func write(_ file: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int64, flags: Int32) throws {
    var done = 0
    var flags = flags
    while done < bytes.count, let start = bytes.baseAddress {
      let count = clinux_pwrite(file, start + done, UInt64(bytes.count - done), offset + Int64(done), flags)
      if count < 0 {
        if count == -Int64(EINTR) { continue }
        if flags != 0, [EOPNOTSUPP, EINVAL, ENOSYS].contains(Int32(-count)) {
          flags = 0
          continue
        }
        throw job.root.failure(Int32(-count), "cannot write", scratch.path)
      }
      done += Int(count)
    }
    unflushed += Int64(bytes.count)
  }

  /// Owner, mode, attributes and times of an open file, in the order in which none undoes another: a new owner takes setuid and
  /// capabilities away, a mode changes an ACL's mask.
  func dress(_ file: Int32, _ record: TreeRecord, _ extra: UnsafeRawBufferPointer, hasMode: Bool = false) throws {
    let form = job.options.form
    if form.owners {
      let (owner, group) = try job.owners(record, scratch.path)
      guard large == nil && isOwn(owner, group) || fchown(file, owner, group) == 0 else {
        throw job.root.failure(errno, "cannot set the owner of", scratch.path)
      }
    }
    // Its owner alone may give attributes to a file, and only while its mode lets him write.
    if large?.isPatch == true {
      fchmod(file, 0o600)
      job.removeAttributes(file, otherThan: extra)
    }
    try job.setAttributes(extra, scratch.path, accessControl: false) { clinux_fsetxattr(file, $0, $1, $2) }
    guard hasMode || fchmod(file, mode_t(record.mode & 0o7777)) == 0 else {
      throw job.root.failure(errno, "cannot set the mode of", scratch.path)
    }
    try job.setAttributes(extra, scratch.path, accessControl: true) { clinux_fsetxattr(file, $0, $1, $2) }
    if folderGivesAccess && form.accessControl && !Self.hasAccess(extra) { clinux_fremovexattr(file, ExtendedAttributes.accessControl[0]) }
    let failed = clinux_set_time(file, record.seconds, min(record.nanoseconds, 999_999_999))
    guard failed == 0 else { throw job.root.failure(-failed, "cannot set the time of", scratch.path) }
  }

  private static func hasAccess(_ extra: UnsafeRawBufferPointer) -> Bool {
    var found = false
    _ = AttributeScratch.parse(extra) { name, _ in if name.elementsEqual(ExtendedAttributes.accessControl[0].utf8) { found = true } }
    return found
  }

  private func special(
    _ record: TreeRecord, _ name: UnsafeRawBufferPointer, _ extra: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer
  ) throws {
    guard job.options.holds(scratch.path, record.kind) else { throw Self.nonsense("a device or socket, which was not agreed on") }
    let content = record.kind == .link ? TreeLeaf(of: body) : TreeLeaf()
    try complete(name, leaf(record, content, extra), size: 0) { text in
      let failed = try make(record, text, body)
      guard failed == 0 else { throw Unmade(code: -failed) }
      try dress(text, record, extra)
      return TreeStatus(folder: folder, text)
    }
  }

  private func make(_ record: TreeRecord, _ text: UnsafePointer<CChar>, _ body: UnsafeRawBufferPointer) throws -> Int32 {
    switch record.kind {
    case .link:
      guard !body.isEmpty, body.count < 4096, !body.contains(0) else { throw Self.nonsense("a link without a target") }
      return TreeRoot.withText(body) { symlinkat($0, folder, text) == 0 ? 0 : -errno }
    case .fifo: return clinux_mknodat(folder, text, UInt32(S_IFIFO) | 0o600, 0)
    case .socket: return clinux_mknodat(folder, text, UInt32(S_IFSOCK) | 0o600, 0)
    case .characterDevice: return clinux_mknodat(folder, text, UInt32(S_IFCHR) | 0o600, record.size)
    case .blockDevice: return clinux_mknodat(folder, text, UInt32(S_IFBLK) | 0o600, record.size)
    case .file, .folder: return -EINVAL
    }
  }

  /// The same of an entry that cannot be opened, and was just made.
  private func dress(_ text: UnsafePointer<CChar>, _ record: TreeRecord, _ extra: UnsafeRawBufferPointer) throws {
    let form = job.options.form
    if form.owners {
      let (owner, group) = try job.owners(record, scratch.path)
      guard isOwn(owner, group) || fchownat(folder, text, owner, group, AT_SYMLINK_NOFOLLOW) == 0 else {
        throw job.root.failure(errno, "cannot set the owner of", scratch.path)
      }
    }
    if record.kind != .link, fchmodat(folder, text, mode_t(record.mode & 0o7777), 0) != 0 {
      throw job.root.failure(errno, "cannot set the mode of", scratch.path)
    }
    if !extra.isEmpty || folderGivesAccess {
      let path = Array("/proc/self/fd/\(folder)/".utf8CString.dropLast()) + UnsafeBufferPointer(start: text, count: strlen(text) + 1)
      try path.withUnsafeBufferPointer { path in
        let path = path.baseAddress.unsafelyUnwrapped
        try job.setAttributes(extra, scratch.path) { clinux_setxattr(path, $0, $1, $2) }
        if folderGivesAccess, record.kind != .link, form.accessControl, !Self.hasAccess(extra) {
          _ = clinux_removexattr(path, ExtendedAttributes.accessControl[0], 0)
        }
      }
    }
    let failed = clinux_set_time_at(folder, text, record.seconds, min(record.nanoseconds, 999_999_999))
    guard failed == 0 else { throw job.root.failure(-failed, "cannot set the time of", scratch.path) }
  }

  /// Whether what this process makes in the folder has this owner from the beginning.
  private func isOwn(_ owner: uid_t, _ group: gid_t) -> Bool { owner == job.user && group == job.group && !folderGivesGroup }

  // MARK: Names

  /// What was to be made under a name and was not begun.
  private struct Unmade: Error { var code: Int32 }

  /// Makes an entry with all that belongs to it. Most are new and are made under their own name: nobody looks at the tree before it is
  /// complete, and what is left half when this process is killed has another leaf than the source's, so that it comes again. One that
  /// replaces another is complete before it takes the name.
  private func complete(
    _ name: UnsafeRawBufferPointer, _ leaf: TreeLeaf, size: Int64, _ make: (UnsafePointer<CChar>) throws -> TreeStatus?
  ) throws {
    func tidily(_ text: UnsafePointer<CChar>) throws -> TreeStatus? {
      do { return try make(text) } catch let error where !(error is Unmade) {
        unlinkat(folder, text, 0)
        throw error
      }
    }
    do {
      let key = scratch.key(job.index.seed)
      if job.index.find(key) == nil {
        do {
          try job.turns.shared { try TreeRoot.withText(name) { try know(key, leaf, size, nil, tidily($0)) } }
          return note(leaf)
        } catch let unmade as Unmade where unmade.code == EEXIST {
          // Something is there that nobody has told of.
        }
      }
      let temporary = temporaryName()
      _ = try Self.withText(temporary) { try tidily($0) }
      do { try place(temporary, name, leaf, size: size) } catch {
        unlink(temporary)
        throw error
      }
    } catch let unmade as Unmade { throw job.root.failure(unmade.code, "cannot make", scratch.path) }
  }

  /// The last step: the complete entry gets its name, whatever had it before.
  func place(_ temporary: [UInt8], _ name: UnsafeRawBufferPointer, _ leaf: TreeLeaf, size: Int64, blocks: ContentBlocks? = nil) throws {
    let key = scratch.key(job.index.seed)
    func attempt() -> Int32 {
      job.turns.shared {
        TreeRoot.withText(name) { text in
          guard Self.withText(temporary, { renameat(folder, $0, folder, text) }) == 0 else { return errno }
          know(key, leaf, size, blocks, TreeStatus(folder: folder, text))
          return 0
        }
      }
    }
    var code = attempt()
    if code == EISDIR || code == ENOTEMPTY || code == EEXIST {
      try job.erase(folder, name, path: scratch.path)
      code = attempt()
    }
    guard code == 0 else { throw job.root.failure(code, "cannot place", scratch.path) }
    note(leaf)
  }

  /// From now on this is what the path holds.
  private func know(_ key: UInt64, _ leaf: TreeLeaf, _ size: Int64, _ blocks: ContentBlocks?, _ status: TreeStatus?) {
    job.links.leave(key)
    job.blocks.withLock { known in if blocks != nil || !known.isEmpty { known[key] = blocks } }
    job.index.set(TreeIndex.Slot(key: key, stamp: status?.stamp ?? 0, leaf: leaf, size: size))
  }

  private static func withText<Result>(_ temporary: [UInt8], _ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
    try temporary.withUnsafeBufferPointer { bytes in
      try bytes.withMemoryRebound(to: CChar.self) { try body($0.baseAddress.unsafelyUnwrapped) }
    }
  }

  func unlink(_ temporary: [UInt8]) { _ = Self.withText(temporary) { unlinkat(folder, $0, 0) } }
}

extension TreeStatus {
  /// Of a name in an open folder.
  init?(folder: Int32, _ name: UnsafePointer<CChar>) {
    var raw = stat()
    guard fstatat(folder, name, &raw, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
    self.init(raw)
  }
}

extension ReceiveJob {
  /// The owner on this disk.
  func owners(_ record: TreeRecord, _ path: UnsafeRawBufferPointer) throws -> (uid_t, gid_t) {
    guard let map = options.owners else { return (record.owner, record.group) }
    guard let owner = map.onDisk(user: record.owner), let group = map.onDisk(group: record.group) else {
      throw FerryError(
        .unsupported, "\(TreePath.escaped(Array(path))) belongs to \(record.owner):\(record.group), which is outside the map of ids here",
        hint: "extend /etc/subuid and /etc/subgid of the user that owns the target")
    }
    return (owner, group)
  }

  /// Takes away what was there before and is not to stay.
  func removeAttributes(_ file: Int32, otherThan bytes: UnsafeRawBufferPointer) {
    let scratch = AttributeScratch(options, limit: .max)
    guard scratch.read(descriptor: file) == 0, !scratch.bytes.isEmpty else { return }
    var kept: Set<[UInt8]> = []
    _ = AttributeScratch.parse(bytes) { name, _ in kept.insert(Array(name)) }
    scratch.bytes.withUnsafeBytes { found in
      _ = AttributeScratch.parse(found) { name, _ in
        if !kept.contains(Array(name)) { _ = withCString(stored(Array(name))) { clinux_fremovexattr(file, $0) } }
      }
    }
  }

  /// nil if an id in it is outside of the map of this end.
  private func setAttribute(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ set: (UnsafePointer<CChar>, UnsafeRawPointer?, UInt64) -> Int32
  ) -> Int32? {
    guard let map = options.owners else { return TreeRoot.withText(name) { set($0, value.baseAddress, UInt64(value.count)) } }
    return AttributeOwners.onDisk(Array(name), Array(value), map).map { value in
      value.withUnsafeBytes { value in withCString(stored(Array(name))) { set($0, value.baseAddress, UInt64(value.count)) } }
    }
  }

  /// An attribute's name on this disk.
  private func stored(_ name: [UInt8]) -> [UInt8] { options.owners?.onDisk(attribute: name) ?? name }

  func setAttributes(
    _ bytes: UnsafeRawBufferPointer, _ path: UnsafeRawBufferPointer, accessControl: Bool? = nil,
    _ set: (UnsafePointer<CChar>, UnsafeRawPointer?, UInt64) -> Int32
  ) throws {
    if bytes.isEmpty { return }
    _ = try AttributeScratch.parse(bytes) { name, value in
      // A mode changes an ACL: all others come before it, these after it.
      if let accessControl, name.starts(with: "system.".utf8) != accessControl { return }
      guard let failed = setAttribute(name, value, set) else {
        throw FerryError(
          .unsupported,
          "\(TreePath.escaped(Array(path))) has an attribute \(TreePath.escaped(Array(name))) with owners outside the map of ids here",
          hint: "extend /etc/subuid and /etc/subgid of the user that owns the target")
      }
      guard failed == 0 else {
        throw root.failure(-failed, "cannot set the attribute \(TreePath.escaped(Array(name))) of", path)
      }
    }
  }
}
