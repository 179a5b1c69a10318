import CXXHash
import FerrySystem
import Glibc

/// What an end knows of a transfer, for another process to go on from: the index in a file, with a hash over all of it.
struct TreeState {
  private struct Header {
    var magic: UInt64 = 0x6665_7272_7974_7232
    var seed: UInt64
    var form: UInt64
    var boot: UInt64
  }

  let path: String
  let form: TreeForm

  init(folder: String, form: TreeForm) throws {
    try Files.makeFolder(folder)
    path = "\(folder)/tree.index"
    self.form = form
  }

  static func random() -> UInt64 { UInt64.random(in: 1...UInt64.max) }

  /// After a crash of the machine a file may be shorter or older than its times tell: then nothing but leaves is believed.
  private static let boot: UInt64 = {
    let id = (try? Files.read("/proc/sys/kernel/random/boot_id")) ?? []
    return id.withUnsafeBytes { XXH3_64bits($0.baseAddress, $0.count) }
  }()

  /// Keeps it, as it is or as it changes meanwhile: each slot is true by itself. One that cannot be kept costs time, nothing else.
  func save(_ index: TreeIndex) {
    let temporary = "\(path).new"
    guard let file = try? Descriptor.open(temporary, O_WRONLY | O_CREAT | O_TRUNC), let hash = XXH3_createState() else { return }
    defer { XXH3_freeState(hash) }
    _ = XXH3_64bits_reset(hash)
    var buffer: [UInt8] = []
    func write(_ limit: Int) throws {
      guard buffer.count > limit else { return }
      buffer.withUnsafeBytes { _ = XXH3_64bits_update(hash, $0.baseAddress, $0.count) }
      try file.write(buffer)
      buffer.removeAll(keepingCapacity: true)
    }
    do {
      withUnsafeBytes(of: Header(seed: index.seed, form: UInt64(form.stamp), boot: Self.boot)) { buffer += $0 }
      try index.forEach { slot in
        withUnsafeBytes(of: slot) { buffer += $0 }
        try write(1 << 16)
      }
      try write(0)
      try file.write(withUnsafeBytes(of: XXH3_64bits_digest(hash)) { Array($0) })
      rename(temporary, path)
    } catch { unlink(temporary) }
  }

  /// What was kept, or nil.
  func load() -> TreeIndex? {
    guard let file = try? Descriptor.open(path, O_RDONLY), let hash = XXH3_createState() else { return nil }
    defer { XXH3_freeState(hash) }
    _ = XXH3_64bits_reset(hash)
    func read<Value>(_ value: inout Value, hashed: Bool = true) -> Bool {
      withUnsafeMutableBytes(of: &value) { bytes in
        guard let start = bytes.baseAddress, ContentFile.read(file.number, start, bytes.count, at: place) == bytes.count else {
          return false
        }
        place += Int64(bytes.count)
        if hashed { _ = XXH3_64bits_update(hash, start, bytes.count) }
        return true
      }
    }
    var place: Int64 = 0
    var header = Header(seed: 0, form: 0, boot: 0)
    let magic = header.magic
    guard read(&header), header.magic == magic, header.form == UInt64(form.stamp), header.seed != 0 else { return nil }
    let index = TreeIndex(seed: header.seed)
    let stride = MemoryLayout<TreeIndex.Slot>.stride
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: stride * 4096, alignment: 16)
    defer { buffer.deallocate() }
    var status = stat()
    guard fstat(file.number, &status) == 0 else { return nil }
    // Slots, and the hash behind them.
    let length = Int(status.st_size) - MemoryLayout<Header>.size - 8
    guard length >= 0, length % stride == 0 else { return nil }
    var rest = length / stride
    while rest > 0, let start = buffer.baseAddress {
      let length = min(rest, 4096) * stride
      guard ContentFile.read(file.number, start, length, at: place) == length else { return nil }
      place += Int64(length)
      _ = XXH3_64bits_update(hash, start, length)
      for number in 0..<(length / stride) {
        var slot = start.load(fromByteOffset: number * stride, as: TreeIndex.Slot.self)
        guard slot.key != 0 else { return nil }
        if header.boot != Self.boot { slot.stamp = 0 }
        index.set(slot)
      }
      rest -= length / stride
    }
    var trailer: UInt64 = 0
    guard read(&trailer, hashed: false), trailer == XXH3_64bits_digest(hash) else { return nil }
    return index
  }
}
