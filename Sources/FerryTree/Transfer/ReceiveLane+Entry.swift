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
    // Most files are new: such a one has no name until it is complete, so nobody sees it before it has its owner.
    let mode = job.index.find(scratch.key(job.index.seed)) == nil ? plainMode(record, extra) : nil
    var file = mode.map { clinux_make_unnamed(folder, $0) } ?? -ENOTSUP
    let source: Unplaced
    if file >= 0 {
      source = .unnamed(file)
    } else {
      let temporary = temporaryName()
      file = temporary.withUnsafeBufferPointer { text in
        text.withMemoryRebound(to: CChar.self) {
          clinux_openat(folder, $0.baseAddress.unsafelyUnwrapped, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
        }
      }
      guard file >= 0 else { throw job.root.failure(-file, "cannot make", scratch.path) }
      source = .named(temporary)
    }
    defer { Glibc.close(file) }
    do {
      try write(file, body, at: 0, flags: 0)
      try dress(file, record, extra, hasMode: source.isUnnamed)
      try place(source, name, record, content: TreeLeaf(of: body), extra, size: Int64(body.count)) { TreeStatus(descriptor: file) }
    } catch {
      if case .named(let temporary) = source { unlink(temporary) }
      throw error
    }
  }

  /// The mode that a file may have from its making on: one that neither the process's mask, nor its folder, nor an attribute changes, and
  /// that no later step takes away. nil if there is none, and it is given in the end.
  private func plainMode(_ record: TreeRecord, _ extra: UnsafeRawBufferPointer) -> UInt32? {
    let mode = UInt32(record.mode & 0o7777)
    guard extra.isEmpty, !folderGivesAccess, mode & 0o7000 == 0, mode & job.mask == 0 else { return nil }
    return mode
  }

  private func leaf(_ record: TreeRecord, _ content: TreeLeaf, _ extra: UnsafeRawBufferPointer) -> TreeLeaf {
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
  }

  /// Owner, mode, attributes and times of an open file, in the order in which none undoes another: a new owner takes setuid and
  /// capabilities away, a mode changes an ACL's mask.
  func dress(_ file: Int32, _ record: TreeRecord, _ extra: UnsafeRawBufferPointer, hasMode: Bool = false) throws {
    let form = job.options.form
    if form.owners {
      let (owner, group) = try job.owners(record, scratch.path)
      if owner != job.user || group != job.group || folderGivesGroup || large != nil {
        guard fchown(file, owner, group) == 0 else { throw job.root.failure(errno, "cannot set the owner of", scratch.path) }
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
  )
    throws
  {
    let form = job.options.form
    guard job.options.holds(scratch.path, record.kind) else { throw Self.nonsense("a device or socket, which was not agreed on") }
    let temporary = temporaryName()
    do {
      try temporary.withUnsafeBufferPointer { bytes in
        try bytes.withMemoryRebound(to: CChar.self) { bytes in
          let text = bytes.baseAddress.unsafelyUnwrapped
          try make(record, text, body)
          if form.owners {
            let (owner, group) = try job.owners(record, scratch.path)
            guard fchownat(folder, text, owner, group, AT_SYMLINK_NOFOLLOW) == 0 else {
              throw job.root.failure(errno, "cannot set the owner of", scratch.path)
            }
          }
          if record.kind != .link, fchmodat(folder, text, mode_t(record.mode & 0o7777), 0) != 0 {
            throw job.root.failure(errno, "cannot set the mode of", scratch.path)
          }
          let path = Array("/proc/self/fd/\(folder)/".utf8) + temporary
          try path.withUnsafeBufferPointer { path in
            try path.withMemoryRebound(to: CChar.self) { path in
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
      }
      let content = record.kind == .link ? TreeLeaf(of: body) : TreeLeaf()
      try place(.named(temporary), name, record, content: content, extra, size: 0) {
        TreeRoot.withText(name) { TreeStatus(folder: folder, $0) }
      }
    } catch {
      unlink(temporary)
      throw error
    }
  }

  private func make(_ record: TreeRecord, _ text: UnsafePointer<CChar>, _ body: UnsafeRawBufferPointer) throws {
    var failed: Int32 = 0
    switch record.kind {
    case .link:
      guard !body.isEmpty, body.count < 4096, !body.contains(0) else { throw Self.nonsense("a link without a target") }
      failed = TreeRoot.withText(body) { symlinkat($0, folder, text) == 0 ? 0 : -errno }
    case .fifo: failed = clinux_mknodat(folder, text, UInt32(S_IFIFO) | 0o600, 0)
    case .socket: failed = clinux_mknodat(folder, text, UInt32(S_IFSOCK) | 0o600, 0)
    case .characterDevice: failed = clinux_mknodat(folder, text, UInt32(S_IFCHR) | 0o600, record.size)
    case .blockDevice: failed = clinux_mknodat(folder, text, UInt32(S_IFBLK) | 0o600, record.size)
    case .file, .folder: failed = -EINVAL
    }
    guard failed == 0 else { throw job.root.failure(-failed, "cannot make", scratch.path) }
  }

  /// A complete entry that does not have its name yet.
  enum Unplaced {
    /// It has a temporary one.
    case named([UInt8])
    /// A file without any.
    case unnamed(Int32)

    var isUnnamed: Bool { if case .unnamed = self { true } else { false } }
  }

  /// The last step: the complete entry gets its name, whatever had it before.
  func place(
    _ source: Unplaced, _ name: UnsafeRawBufferPointer, _ record: TreeRecord, content: TreeLeaf, _ extra: UnsafeRawBufferPointer,
    size: Int64, blocks: ContentBlocks? = nil, status: () -> TreeStatus?
  ) throws {
    let leaf = leaf(record, content, extra)
    let key = scratch.key(job.index.seed)
    func attempt() -> Int32 {
      job.turns.shared {
        let code = TreeRoot.withText(name) { give(source, $0) }
        guard code == 0 else { return code }
        job.links.leave(key)
        job.blocks.withLock { known in if blocks != nil || !known.isEmpty { known[key] = blocks } }
        job.index.set(TreeIndex.Slot(key: key, stamp: status()?.stamp ?? 0, leaf: leaf, size: size))
        return 0
      }
    }
    var code = attempt()
    if code == EEXIST, case .unnamed(let file) = source {
      // Something is there that nobody has told of. A name that is given to what has one replaces it.
      let temporary = temporaryName()
      let linked = temporary.withUnsafeBufferPointer { bytes in
        bytes.withMemoryRebound(to: CChar.self) { clinux_link_unnamed(file, folder, $0.baseAddress.unsafelyUnwrapped) }
      }
      guard linked == 0 else { throw job.root.failure(-linked, "cannot place", scratch.path) }
      do {
        return try place(.named(temporary), name, record, content: content, extra, size: size, blocks: blocks, status: status)
      } catch {
        unlink(temporary)
        throw error
      }
    }
    if code == EISDIR || code == ENOTEMPTY || code == EEXIST {
      try job.erase(folder, name, path: scratch.path)
      code = attempt()
    }
    guard code == 0 else { throw job.root.failure(code, "cannot place", scratch.path) }
    note(leaf)
  }

  private func give(_ source: Unplaced, _ name: UnsafePointer<CChar>) -> Int32 {
    switch source {
    case .unnamed(let file): return -clinux_link_unnamed(file, folder, name)
    case .named(let temporary):
      return temporary.withUnsafeBufferPointer { bytes in
        bytes.withMemoryRebound(to: CChar.self) { renameat(folder, $0.baseAddress.unsafelyUnwrapped, folder, name) == 0 ? 0 : errno }
      }
    }
  }

  func unlink(_ temporary: [UInt8]) {
    temporary.withUnsafeBufferPointer { bytes in
      _ = bytes.withMemoryRebound(to: CChar.self) { unlinkat(folder, $0.baseAddress.unsafelyUnwrapped, 0) }
    }
  }
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
        if !kept.contains(Array(name)) { _ = TreeRoot.withText(name) { clinux_fremovexattr(file, $0) } }
      }
    }
  }

  /// nil if an id in it is outside of the map of this end.
  private func setAttribute(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ set: (UnsafePointer<CChar>, UnsafeRawPointer?, UInt64) -> Int32
  ) -> Int32? {
    guard let map = options.owners else { return TreeRoot.withText(name) { set($0, value.baseAddress, UInt64(value.count)) } }
    return AttributeOwners.onDisk(Array(name), Array(value), map).map { value in
      value.withUnsafeBytes { value in TreeRoot.withText(name) { set($0, value.baseAddress, UInt64(value.count)) } }
    }
  }

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
