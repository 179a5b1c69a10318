import CLinux
import FerrySystem
import Glibc

extension ReceiveJob {
  /// What could not be done before all lanes had come to their end: further names of files, then the folders' own metadata, the deepest
  /// first, since what is made in a folder changes its times and a closed one lets nobody in.
  func finish(_ late: [Late]) throws {
    let scratch = LeafScratch(path: options.limits.path)
    for entry in late where entry.record.use == .link { try link(entry, scratch) }
    for entry in late where entry.record.use == .link { restamp(entry) }
    var folders: [(depth: Int, place: Int)] = []
    for (place, entry) in late.enumerated() where entry.record.use == .itself {
      folders.append((entry.path.isEmpty ? 0 : 1 + entry.path.count { $0 == 0x2f }, place))
    }
    folders.sort { ($0.depth, $0.place) > ($1.depth, $1.place) }
    for folder in folders {
      if options.cancellation?.isCancelled == true { throw FerryError(.cancelled, "the pass was cancelled") }
      try dress(late[folder.place])
    }
  }

  /// In a tree that is in use what was to be linked may be gone already: the next pass sets that right. In the final one nothing may be missing.
  private func miss(_ error: FerryError) throws { if isFinal { throw error } }

  private func link(_ entry: Late, _ scratch: LeafScratch) throws {
    // The first name must hold what the sender says of it: then this one does.
    let original = entry.extra
    let fits = original.withUnsafeBytes { path in
      scratch.enter(path)
        && index.find(scratch.key(index.seed))?.leaf
          == scratch.leaf(entry.record.meta, content: entry.content, attributes: entry.attributes)
    }
    guard fits else {
      return try miss(
        FerryError(.io, "\(TreePath.escaped(entry.path)) is to be another name of \(TreePath.escaped(original)), which did not arrive"))
    }
    try inParent(original) { from, first in
      try inParent(entry.path) { folder, name in
        let temporary = Array("\(temporary)link".utf8)
        try temporary.withUnsafeBytes { bytes in
          try TreeRoot.withText(bytes) { text in
            guard linkat(from, first, folder, text, 0) == 0 else { return try miss(failure(errno, "cannot link", entry.path)) }
            try rename(text, in: folder, to: name, entry.path)
          }
        }
      }
    }
  }

  private func rename(_ text: UnsafePointer<CChar>, in folder: Int32, to name: UnsafePointer<CChar>, _ path: [UInt8]) throws {
    if renameat(folder, text, folder, name) != 0 {
      guard errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST else { throw failure(errno, "cannot place", path) }
      try path.withUnsafeBytes { try erase(folder, UnsafeRawBufferPointer(start: name, count: strlen(name)), path: $0) }
      guard renameat(folder, text, folder, name) == 0 else { throw failure(errno, "cannot place", path) }
    }
    // Where both are names of one file already, nothing was renamed.
    unlinkat(folder, text, 0)
  }

  private func restamp(_ entry: Late) {
    let original = entry.extra.withUnsafeBytes { TreeIndex.key($0, index.seed) }
    let key = entry.path.withUnsafeBytes { TreeIndex.key($0, index.seed) }
    guard let first = root.status(of: entry.extra), let status = root.status(of: entry.path), status.identity == first.identity else {
      return
    }
    links.join(entry.path, key, to: entry.extra, original, size: status.size)
    index.restamp(original, status.stamp, size: status.size)
    index.set(TreeIndex.Slot(key: key, stamp: status.stamp, leaf: entry.leaf, size: status.size))
  }

  private func dress(_ entry: Late) throws {
    let folder = entry.path.withUnsafeBytes { root.open($0) }
    guard folder >= 0 else { return try miss(failure(-folder, "cannot open", entry.path)) }
    defer { close(folder) }
    try entry.path.withUnsafeBytes { path in
      if options.form.owners {
        let (owner, group) = try owners(entry.record, path)
        guard fchown(folder, owner, group) == 0 else { throw failure(errno, "cannot set the owner of", entry.path) }
      }
      try entry.extra.withUnsafeBytes { extra in
        removeAttributes(folder, otherThan: extra)
        try setAttributes(extra, path, accessControl: false) { clinux_fsetxattr(folder, $0, $1, $2) }
        guard fchmod(folder, mode_t(entry.record.mode & 0o7777)) == 0 else { throw failure(errno, "cannot set the mode of", entry.path) }
        try setAttributes(extra, path, accessControl: true) { clinux_fsetxattr(folder, $0, $1, $2) }
      }
      let failed = clinux_set_time(folder, entry.record.seconds, min(entry.record.nanoseconds, 999_999_999))
      guard failed == 0 else { throw failure(-failed, "cannot set the time of", entry.path) }
      index.set(TreeIndex.Slot(key: TreeIndex.key(path, index.seed), stamp: TreeStatus(descriptor: folder)?.stamp ?? 0, leaf: entry.leaf))
    }
  }

  private func inParent(_ path: [UInt8], _ body: (Int32, UnsafePointer<CChar>) throws -> Void) throws {
    let slash = path.lastIndex(of: 0x2f)
    let parent = path[..<(slash ?? 0)].withUnsafeBytes { root.open($0) }
    guard parent >= 0 else { return try miss(failure(-parent, "cannot open the folder of", path)) }
    defer { close(parent) }
    try path[(slash.map { $0 + 1 } ?? 0)...].withUnsafeBytes { name in try TreeRoot.withText(name) { try body(parent, $0) } }
  }

  private func failure(_ code: Int32, _ what: String, _ path: [UInt8]) -> FerryError {
    path.withUnsafeBytes { root.failure(code, what, $0) }
  }
}
