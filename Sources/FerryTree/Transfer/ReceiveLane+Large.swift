import CLinux
import FerrySystem
import Glibc

/// A file that arrives in pieces. Until its end it has a temporary name.
struct LargeFile {
  let file: Int32
  let temporary: [UInt8]
  let name: [UInt8]
  let record: TreeRecord
  let extra: [UInt8]
  let isPatch: Bool
  var blocks: ContentBlocks
  var next: Int64 = 0
  /// The block that is put together from pieces, or -1.
  var assembled = -1
  /// Its content goes to the disk past the page cache, as long as it comes in whole pages.
  var isDirect = false
}

extension ReceiveLane {
  func beginLarge(_ record: TreeRecord, _ name: UnsafeRawBufferPointer, _ extra: UnsafeRawBufferPointer) throws {
    guard record.size <= UInt64(job.options.limits.fileSize) else { throw Self.nonsense("a file of \(record.size) bytes") }
    let temporary = temporaryName()
    let isPatch = record.flags.contains(.patch)
    let key = scratch.key(job.index.seed)
    let before = isPatch ? job.blocks.withLock { $0[key] } : nil
    if isPatch && before == nil { throw Self.nonsense("changes to a file that is not here") }
    var file = try temporary.withUnsafeBufferPointer { bytes in
      try bytes.withMemoryRebound(to: CChar.self) { bytes in
        let text = bytes.baseAddress.unsafelyUnwrapped
        if isPatch { return try patch(name, text) }
        return clinux_openat(folder, text, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
      }
    }
    // Its place is gone. What comes of it is taken in all the same, and then found to be missing.
    if file == -ENOENT, !job.isFinal { file = try job.root.limboFile(temporary.dropLast()) }
    guard file >= 0 else { throw job.root.failure(-file, "cannot make", scratch.path) }
    large = LargeFile(
      file: file, temporary: temporary, name: Array(name), record: record, extra: Array(extra), isPatch: isPatch,
      blocks: before ?? ContentBlocks(), isDirect: record.size >= SendLane.largeFile && clinux_set_direct(file, 1) == 0)
  }

  /// The old file under the temporary name, to be changed in place: its own name is absent until it is complete. One that has other names
  /// is copied first, or they would change with it.
  private func patch(_ name: UnsafeRawBufferPointer, _ text: UnsafePointer<CChar>) throws -> Int32 {
    try TreeRoot.withText(name) { old in
      guard let status = TreeStatus(folder: folder, old), status.kind == .file else {
        if !job.isFinal { return -ENOENT }
        throw Self.nonsense("changes to a file that is not here")
      }
      if status.raw.st_nlink == 1 {
        guard renameat(folder, old, folder, text) == 0 else { return -errno }
        // Should this pass fail now, the next one finds the path missing and sends it whole.
        job.forget(scratch.path)
        return clinux_openat(folder, text, O_RDWR | O_NOFOLLOW, 0)
      }
      let from = clinux_openat(folder, old, O_RDONLY | O_NOFOLLOW, 0)
      guard from >= 0 else { return from }
      defer { Glibc.close(from) }
      let to = clinux_openat(folder, text, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
      guard to >= 0, clinux_clone(to, from) != 0 else { return to }
      var offset: Int64 = 0
      while offset < status.size {
        let count = clinux_copy_range(from, to, offset, UInt64(status.size - offset))
        guard count > 0 else { throw job.root.failure(count < 0 ? Int32(-count) : EIO, "cannot copy", scratch.path) }
        offset += count
      }
      return to
    }
  }

  func data(_ record: TreeRecord, _ body: UnsafeRawBufferPointer) throws {
    guard var file = large else { throw Self.nonsense("content without a file") }
    large = nil
    defer { large = file }
    let length = record.flags.contains(.hole) ? record.seconds : Int64(body.count)
    let block = Int64(TreeBlock.content)
    guard record.size <= UInt64(job.options.limits.fileSize), length > 0, length <= block else {
      throw Self.nonsense("content out of bounds")
    }
    let offset = Int64(record.size)
    guard offset >= file.next, offset % block + length <= block, offset / block < (1 << 31) else {
      throw Self.nonsense("content out of order")
    }
    let index = Int(offset / block)
    file.next = offset + length
    if record.flags.contains(.hole) {
      settle(&file, before: index)
      guard file.isPatch, offset % block == 0 else { return }
      set(&file, index, ContentBlocks.zeros(Int(length)))
      // Where no hole can be made, zeros it is.
      if clinux_punch_hole(file.file, offset, length) != 0 { try writeZeros(&file, offset, Int(length)) }
      return
    }
    try write(&file, body, at: offset)
    if record.flags.contains(.piece) {
      if file.assembled != index {
        settle(&file, before: index)
        file.assembled = index
      }
      UnsafeMutableRawBufferPointer(rebasing: assembly[Int(offset % block)...]).copyMemory(from: body)
    } else {
      guard offset % block == 0 else { throw Self.nonsense("content out of order") }
      settle(&file, before: index)
      set(&file, index, TreeLeaf(of: body))
    }
  }

  private func write(_ file: inout LargeFile, _ body: UnsafeRawBufferPointer, at offset: Int64) throws {
    if file.isDirect {
      let isWhole = (Int(bitPattern: body.baseAddress) | body.count | Int(offset)) % TreeBlock.alignment == 0
      if isWhole, clinux_pwrite(file.file, body.baseAddress, UInt64(body.count), offset, 0) == Int64(body.count) { return }
      // A file's last page, a piece beside a hole, or a file system that wants it otherwise.
      file.isDirect = false
      clinux_set_direct(file.file, 0)
    }
    try write(file.file, body, at: offset, flags: Int32(CLINUX_DONTCACHE))
  }

  private func set(_ file: inout LargeFile, _ index: Int, _ leaf: TreeLeaf) {
    while file.blocks.count < index { file.blocks.append(ContentBlocks.zeros(TreeBlock.content)) }
    if file.blocks.count == index { file.blocks.append(leaf) } else { file.blocks[index] = leaf }
  }

  /// The block that was put together is whole when another one begins.
  private func settle(_ file: inout LargeFile, before index: Int, end: Int = TreeBlock.content) {
    guard file.assembled >= 0, file.assembled != index else { return }
    set(&file, file.assembled, TreeLeaf(of: UnsafeRawBufferPointer(rebasing: assembly[..<end])))
    assembly.initializeMemory(as: UInt8.self, repeating: 0)
    file.assembled = -1
  }

  private func writeZeros(_ file: inout LargeFile, _ offset: Int64, _ length: Int) throws {
    let zeros = [UInt8](repeating: 0, count: length)
    try zeros.withUnsafeBytes { try write(&file, $0, at: offset) }
  }

  func end(_ record: TreeRecord) throws {
    guard var file = large else { throw Self.nonsense("an end without a file") }
    if record.flags.contains(.abandoned) { return discardLarge() }
    guard record.size <= UInt64(job.options.limits.fileSize), Int64(record.size) >= file.next || file.isPatch else {
      throw Self.nonsense("an end before the content's")
    }
    let size = Int64(record.size)
    let count = Int((size + Int64(TreeBlock.content) - 1) / Int64(TreeBlock.content))
    let last = Int(size - Int64(max(0, count - 1)) * Int64(TreeBlock.content))
    settle(&file, before: -1, end: file.assembled == count - 1 ? last : TreeBlock.content)
    file.blocks.resize(count)
    // What did not come is a hole.
    if file.blocks.count < count { set(&file, count - 1, ContentBlocks.zeros(last)) }
    file.name.withUnsafeBytes { scratch.look(at: $0) }
    do {
      guard ftruncate(file.file, off_t(size)) == 0 else { throw job.root.failure(errno, "cannot set the length of", scratch.path) }
      var head = file.record
      head.size = record.size
      try file.extra.withUnsafeBytes { extra in
        try dress(file.file, head, extra)
        let leaf = leaf(head, file.blocks.leaf, extra)
        try file.name.withUnsafeBytes { name in
          try place(file.temporary, name, leaf, size: size, blocks: size >= SendLane.patchedFile ? file.blocks : nil)
        }
      }
    } catch {
      discardLarge()
      var head = file.record
      head.size = record.size
      return try miss(error, file.extra.withUnsafeBytes { leaf(head, file.blocks.leaf, $0) })
    }
    large = nil
    Glibc.close(file.file)
  }

  /// What never came to its end is no file.
  func discardLarge() {
    guard let file = large else { return }
    large = nil
    unlink(file.temporary)
    Glibc.close(file.file)
    if file.assembled >= 0 { assembly.initializeMemory(as: UInt8.self, repeating: 0) }
  }
}
