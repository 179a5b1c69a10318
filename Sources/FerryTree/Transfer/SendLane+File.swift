import CLinux
import FerrySystem
import Glibc

extension SendLane {
  /// Files of this size and more are compared block by block when they change.
  static let patchedFile: Int64 = 16 << 20

  func sendFile(_ entry: SendEntry) throws -> SentContent? {
    let file = clinux_open_quietly(folder, entry.text)
    guard file >= 0 else {
      try missing(-file, entry.name, entry.key, listed: true)
      return nil
    }
    defer { close(file) }
    let failed = attributes.read(descriptor: file)
    guard failed == 0 else {
      try lackAttributes(-failed)
      return nil
    }
    return entry.status.size <= Int64(TreeBlock.content) && !entry.status.hasHoles ? try sendSmall(entry, file) : try sendLarge(entry, file)
  }

  /// One record: the content is read to where it is sent from. Nothing goes if it turns out to be what the receiver has.
  private func sendSmall(_ entry: SendEntry, _ file: Int32) throws -> SentContent? {
    let size = Int(entry.status.size)
    try sayFolder()
    var record = TreeRecord(.entry, entry.meta)
    let place = try attributes.bytes.withUnsafeBytes { try writer.begin(record, name: entry.name, extra: $0, room: size) }
    let got = ContentFile.read(file, place, size, at: 0, dropping: true)
    guard got >= 0 else {
      try job.trouble(Int32(-got), "cannot read", scratch.path)
      return nil
    }
    record.size = UInt64(got)
    let content = TreeLeaf(of: UnsafeRawBufferPointer(start: place, count: got))
    let leaf = scratch.leaf(record.meta, content: content, attributes: attributes.leaf)
    if entry.known?.leaf == leaf, !entry.status.isShared {
      job.index.restamp(entry.key, entry.stamp, size: Int64(got))
    } else {
      writer.commit(record, name: entry.name.count, extra: attributes.bytes.count, body: got)
      settle(TreeIndex.Slot(key: entry.key, stamp: entry.stamp, leaf: leaf, size: Int64(got)), bytes: Int64(got))
    }
    return SentContent(meta: record.meta, content: content)
  }

  /// A head, pieces, an end. Of a file whose blocks both ends know, only those that changed.
  private func sendLarge(_ entry: SendEntry, _ file: Int32) throws -> SentContent? {
    let before = entry.status.size >= Self.patchedFile ? job.blocks.withLock { $0[entry.key] } : nil
    if before == nil, let known = entry.known, known.stamp == 0, try isSame(entry, file, known) {
      return SentContent(meta: entry.meta, content: TreeLeaf())
    }
    try sayFolder()
    let head = TreeRecord(.entry, entry.meta)
    var flagged = head
    flagged.flags = before == nil ? .large : [.large, .patch]
    try attributes.bytes.withUnsafeBytes { try writer.add(flagged, name: entry.name, extra: $0) }

    var source = ContentFile(file, size: entry.status.size, hasHoles: entry.status.hasHoles)
    var blocks = ContentBlocks()
    blocks.reserve(entry.status.size)
    var moved: Int64 = 0
    while let wanted = source.next() {
      let index = blocks.count
      guard wanted.hasData else {
        blocks.append(ContentBlocks.zeros(wanted.length))
        if let before, index >= before.count || before[index] != blocks[index] {
          var hole = TreeRecord(.data, .hole)
          hole.size = UInt64(wanted.offset)
          hole.seconds = Int64(wanted.length)
          try writer.add(hole)
        }
        continue
      }
      let place = try writer.beginContent()
      let got = ContentFile.read(file, place, wanted.length, at: wanted.offset, dropping: true)
      guard got >= 0 else {
        try writer.add(TreeRecord(.end, .abandoned))
        job.blocks.withLock { $0[entry.key] = nil }
        try job.trouble(Int32(-got), "cannot read", scratch.path)
        return nil
      }
      let bytes = UnsafeRawBufferPointer(start: place, count: got)
      if got > 0 { blocks.append(TreeLeaf(of: bytes)) }
      if got > 0, before.map({ index >= $0.count || $0[index] != blocks[index] }) ?? true {
        moved += Int64(got)
        if entry.status.hasHoles, before == nil {
          try sendExtents(bytes, at: wanted.offset)
        } else {
          try writer.commitContent(at: wanted.offset, length: got)
        }
      }
      // It became shorter while it was read: the next pass sees that.
      if got < wanted.length {
        source.end(at: wanted.offset + Int64(got))
        break
      }
    }
    var meta = entry.meta
    meta.size = UInt64(source.size)
    var end = TreeRecord(.end)
    end.size = meta.size
    try writer.add(end)
    let leaf = scratch.leaf(meta, content: blocks.leaf, attributes: attributes.leaf)
    settle(TreeIndex.Slot(key: entry.key, stamp: entry.stamp, leaf: leaf, size: source.size), bytes: moved)
    if source.size >= Self.patchedFile { job.blocks.withLock { [blocks] in $0[entry.key] = blocks } }
    return SentContent(meta: meta, content: blocks.leaf)
  }

  /// Within a block only pages that are not zero. By what was read, not by where holes are now: somebody may make one meanwhile.
  private func sendExtents(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws {
    buffer.copyMemory(from: bytes)
    func isZero(_ page: Int) -> Bool {
      let bytes = UnsafeRawBufferPointer(rebasing: buffer[page..<min(page + 4096, bytes.count)])
      guard bytes[0] == 0, let start = bytes.baseAddress else { return false }
      return memcmp(start, start + 1, bytes.count - 1) == 0
    }
    var start = 0
    while start < bytes.count {
      if isZero(start) {
        start += 4096
        continue
      }
      var end = start + 4096
      while end < bytes.count, !isZero(end) { end += 4096 }
      end = min(end, bytes.count)
      var record = TreeRecord(.data, .piece)
      record.size = UInt64(offset) + UInt64(start)
      try writer.add(record, body: UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
      start = end
    }
  }

  /// Reads a large file for the sake of its hash alone: it may well be what arrived before the run was cut.
  private func isSame(_ entry: SendEntry, _ file: Int32, _ known: TreeIndex.Slot) throws -> Bool {
    var failed: Int32 = 0
    let (blocks, size) = try ContentFile.hash(file, size: entry.status.size, hasHoles: entry.status.hasHoles, buffer, &failed) {
      job.progress(entries: 0, bytes: $0)
    }
    var meta = entry.meta
    meta.size = UInt64(size)
    guard failed == 0, scratch.leaf(meta, content: blocks.leaf, attributes: attributes.leaf) == known.leaf, !entry.status.isShared else {
      return false
    }
    job.index.restamp(entry.key, entry.stamp, size: size)
    return true
  }
}
