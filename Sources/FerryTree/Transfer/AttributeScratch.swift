import CLinux
import FerrySystem
import Glibc

/// The extended attributes of one entry, in the form of the stream and of leaves: for each, sorted by name, the lengths of its name and
/// value (2 and 4 bytes) and both.
final class AttributeScratch {
  private let list: UnsafeMutableRawBufferPointer
  private(set) var bytes: [UInt8] = []
  /// The one that was found and is refused, with -EREMOTE.
  private(set) var refusal: [UInt8]?
  private let refused: Set<[UInt8]>
  private let form: TreeForm
  private let owners: (any OwnerMapping)?
  private let limit: Int

  init(_ options: TreeOptions, limit: Int? = nil) {
    (form, owners, refused) = (options.form, options.owners, options.refused)
    self.limit = limit ?? options.limits.attributes
    list = .allocate(byteCount: 65536, alignment: 16)
  }
  deinit { list.deallocate() }

  /// The hash of what was read; zero if there are none.
  var leaf: TreeLeaf { bytes.isEmpty ? TreeLeaf() : bytes.withUnsafeBytes { TreeLeaf(of: $0) } }
  /// Whether those count that links, fifos, sockets and devices can have.
  var isForAll: Bool { form.attributes == .all }

  var isNeeded: Bool { form.attributes != .none || form.accessControl }

  /// Has none.
  func clear() -> Int32 {
    bytes.removeAll(keepingCapacity: true)
    return 0
  }

  /// Reads them from an open file; -errno on failure.
  func read(descriptor: Int32) -> Int32 {
    bytes.removeAll(keepingCapacity: true)
    guard isNeeded else { return 0 }
    let length = clinux_flistxattr(descriptor, list.baseAddress?.assumingMemoryBound(to: CChar.self), UInt64(list.count))
    return gather(length) { clinux_fgetxattr(descriptor, $0, $1, $2) }
  }

  /// Reads them from a link, fifo, socket or device, which cannot be opened: by a path through the folder's descriptor.
  func read(folder: Int32, name: UnsafePointer<CChar>) -> Int32 {
    bytes.removeAll(keepingCapacity: true)
    guard isNeeded else { return 0 }
    return readPath(
      Array("/proc/self/fd/\(folder)/".utf8CString.dropLast()) + Array(UnsafeBufferPointer(start: name, count: strlen(name) + 1)))
  }

  private func readPath(_ path: [CChar]) -> Int32 {
    path.withUnsafeBufferPointer { buffer in
      guard let path = buffer.baseAddress else { return 0 }
      let length = clinux_listxattr(path, list.baseAddress?.assumingMemoryBound(to: CChar.self), UInt64(list.count), 0)
      return gather(length) { clinux_getxattr(path, $0, $1, $2, 0) }
    }
  }

  private func gather(_ length: Int64, _ get: (UnsafePointer<CChar>, UnsafeMutableRawPointer?, UInt64) -> Int64) -> Int32 {
    if length == 0 || [ENOTSUP, EPERM, EACCES].contains(Int32(-length)) { return 0 }
    guard length > 0 else { return Int32(length) }
    var found: [(name: [UInt8], value: [UInt8])] = []
    for stored in UnsafeRawBufferPointer(rebasing: list[..<Int(length)]).split(separator: 0) {
      let stored = Array(stored)
      if refused.contains(stored) {
        refusal = stored
        return -EREMOTE
      }
      guard let name = owners == nil ? stored : owners?.inStream(attribute: stored), form.holds(name) else { continue }
      var capacity = 256
      while true {
        var size: Int64 = 0
        let value = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
          size = withCString(stored) { get($0, buffer.baseAddress, UInt64(capacity)) }
          count = max(0, Int(size))
        }
        if size == -Int64(ERANGE), capacity < 1 << 17 {
          capacity *= 8
          continue
        }
        // Gone since it was listed.
        if size == -Int64(ENODATA) { break }
        guard size >= 0 else { return Int32(size) }
        guard let owners else {
          found.append((name, value))
          break
        }
        guard let mapped = AttributeOwners.inStream(name, value, owners) else { return -EOVERFLOW }
        found.append((name, mapped))
        break
      }
    }
    if found.count > 1 { found.sort { TreePath.precedes($0.name, $1.name) } }
    for (name, value) in found {
      withUnsafeBytes(of: UInt16(name.count).littleEndian) { bytes.append(contentsOf: $0) }
      withUnsafeBytes(of: UInt32(value.count).littleEndian) { bytes.append(contentsOf: $0) }
      bytes += name
      bytes += value
    }
    return bytes.count > limit ? -E2BIG : 0
  }

  /// Takes attributes out of a record's bytes. False if they are none, or not sorted.
  static func parse(
    _ bytes: UnsafeRawBufferPointer, _ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Void
  ) rethrows -> Bool {
    var rest = bytes
    while rest.count > 0 {
      guard rest.count >= 6 else { return false }
      let nameLength = Int(UInt16(littleEndian: rest.loadUnaligned(as: UInt16.self)))
      let length = UInt64(UInt32(littleEndian: rest.loadUnaligned(fromByteOffset: 2, as: UInt32.self)))
      guard nameLength > 0, nameLength < 256, UInt64(rest.count) >= 6 + UInt64(nameLength) + length else { return false }
      let name = UnsafeRawBufferPointer(rebasing: rest[6..<(6 + nameLength)])
      if name.contains(0) { return false }
      let end = 6 + nameLength + Int(length)
      try body(name, UnsafeRawBufferPointer(rebasing: rest[(6 + nameLength)..<end]))
      rest = UnsafeRawBufferPointer(rebasing: rest[end...])
    }
    return true
  }
}
