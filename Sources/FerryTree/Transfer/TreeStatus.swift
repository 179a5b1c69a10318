import CXXHash
import FerrySystem
import Glibc

extension TreeOptions {
  /// Whether an entry is carried.
  func holds(_ path: UnsafeRawBufferPointer, _ kind: EntryKind) -> Bool {
    if kind.isDevice && !form.devices || kind == .socket && !form.sockets { return false }
    return selection.map { $0.contains(Array(path), kind) } ?? true
  }
}

/// What `lstat` says of an entry, as a transfer needs it.
struct TreeStatus {
  let raw: stat
  let kind: EntryKind

  init?(_ raw: stat) {
    guard let kind = EntryKind(mode: raw.st_mode) else { return nil }
    self.raw = raw
    self.kind = kind
  }

  /// Of an open file; nil for what Ferry does not know.
  init?(descriptor: Int32) {
    var raw = stat()
    guard fstat(descriptor, &raw) == 0 else { return nil }
    self.init(raw)
  }

  var size: Int64 { kind == .file ? Int64(raw.st_size) : 0 }
  var identity: FileIdentity { FileIdentity(device: UInt64(raw.st_dev), inode: UInt64(raw.st_ino)) }
  var isShared: Bool { raw.st_nlink > 1 && kind != .folder && !TreeEntry.isWhiteout(kind, UInt64(raw.st_rdev)) }
  /// Fewer blocks than its length needs.
  var hasHoles: Bool { kind == .file && Int64(raw.st_blocks) * 512 < Int64(raw.st_size) }

  /// Tells whether the entry was touched since: its identity, length and times in one number, never 0.
  var stamp: UInt64 {
    var fields = (
      UInt64(raw.st_dev), UInt64(raw.st_ino), Int64(raw.st_size), Int64(raw.st_mtim.tv_sec), Int64(raw.st_mtim.tv_nsec),
      Int64(raw.st_ctim.tv_sec), Int64(raw.st_ctim.tv_nsec)
    )
    return withUnsafeBytes(of: &fields) { max(1, XXH3_64bits($0.baseAddress, $0.count)) }
  }

  /// The stamp, or 0 if a later change might leave the same one: the entry changed after the last flush.
  func stamp(before horizon: FileTime?) -> UInt64 {
    guard let horizon, FileTime(raw.st_ctim) < horizon else { return 0 }
    return stamp
  }

  /// What counts of it. Owners outside the map are an error; at an end that is still to receive they are just not what they will be.
  func meta(_ options: TreeOptions, isReceiving: Bool = false) throws -> TreeMeta {
    var meta = TreeMeta(
      kind: kind, mode: UInt16(kind == .link ? 0o777 : raw.st_mode & 0o7777), owner: 0, group: 0, seconds: Int64(raw.st_mtim.tv_sec),
      nanoseconds: options.form.fractions ? UInt32(raw.st_mtim.tv_nsec) : 0, size: 0)
    if options.form.owners {
      (meta.owner, meta.group) = (raw.st_uid, raw.st_gid)
      if let map = options.owners {
        let mapped = (map.inStream(user: raw.st_uid), map.inStream(group: raw.st_gid))
        guard let owner = mapped.0 ?? (isReceiving ? .max : nil), let group = mapped.1 ?? (isReceiving ? .max : nil) else {
          throw FerryError(
            .unsupported, "it belongs to \(raw.st_uid):\(raw.st_gid), which is outside the map of ids",
            hint: "extend /etc/subuid and /etc/subgid")
        }
        (meta.owner, meta.group) = (owner, group)
      }
    }
    switch kind {
    case .file: meta.size = UInt64(raw.st_size)
    case .characterDevice, .blockDevice: meta.size = UInt64(raw.st_rdev)
    case .folder, .link, .fifo, .socket: break
    }
    return meta
  }
}
