/// One record of a lane: a head of fixed size, a name, something extra, padding, a body. Everything is bounded by its block.
///
/// | record | name | extra | body |
/// |---|---|---|---|
/// | folder | | its path | |
/// | entry | in the folder | attributes | a small file's content, a link's target |
/// | data | | | a piece of the large entry before it; `size` is its place |
/// | end | | | `size` is the large entry's length |
/// | names | | | all names of the folder, a byte of length before each |
/// | remove | in the folder | | |
/// | link | in the folder | hash of content, hash of attributes, path of the file | |
/// | self | | attributes | the folder's own metadata |
/// | close | | | `size` and `seconds`: the sum of the lane's leaves; `owner`: how many |
struct TreeRecord {
  enum Use: UInt8 { case folder = 1, entry, data, end, names, remove, link, itself, close }

  struct Flags: OptionSet {
    let rawValue: UInt16
    /// A large entry: data follow, then an end.
    static let large = Flags(rawValue: 1)
    /// Of a large entry: what does not come is as it was.
    static let patch = Flags(rawValue: 2)
    /// Of data: nothing but zeros, as many as `size` says, no body.
    static let hole = Flags(rawValue: 4)
    /// Of names: the first and the last record of the folder.
    static let first = Flags(rawValue: 8)
    static let last = Flags(rawValue: 16)
    /// Of an end: the sender could not read on; the entry is not to appear.
    static let abandoned = Flags(rawValue: 32)
    /// Of data: not a whole block; the rest of it are other pieces and holes.
    static let piece = Flags(rawValue: 64)
  }

  static let headSize = 48

  var use: Use
  var kind: EntryKind = .file
  var flags: Flags = []
  var nameLength: UInt16 = 0
  var mode: UInt16 = 0
  var nanoseconds: UInt32 = 0
  var owner: UInt32 = 0
  var group: UInt32 = 0
  var extraLength: UInt32 = 0
  var padding: UInt32 = 0
  var bodyLength: UInt32 = 0
  var size: UInt64 = 0
  var seconds: Int64 = 0

  init(_ use: Use, _ flags: Flags = []) { (self.use, self.flags) = (use, flags) }

  init(_ use: Use, _ meta: TreeMeta) {
    self.use = use
    kind = meta.kind
    mode = meta.mode
    (owner, group) = (meta.owner, meta.group)
    (seconds, nanoseconds) = (meta.seconds, meta.nanoseconds)
    size = meta.size
  }

  var meta: TreeMeta {
    TreeMeta(kind: kind, mode: mode, owner: owner, group: group, seconds: seconds, nanoseconds: nanoseconds, size: size)
  }

  /// The whole record's length.
  var length: Int { Self.headSize + Int(nameLength) + Int(extraLength) + Int(padding) + Int(bodyLength) }

  func write(to base: UnsafeMutableRawPointer) {
    base.storeBytes(of: use.rawValue, as: UInt8.self)
    base.storeBytes(of: kind.rawValue, toByteOffset: 1, as: UInt8.self)
    base.storeBytes(of: flags.rawValue.littleEndian, toByteOffset: 2, as: UInt16.self)
    base.storeBytes(of: nameLength.littleEndian, toByteOffset: 4, as: UInt16.self)
    base.storeBytes(of: mode.littleEndian, toByteOffset: 6, as: UInt16.self)
    base.storeBytes(of: nanoseconds.littleEndian, toByteOffset: 8, as: UInt32.self)
    base.storeBytes(of: owner.littleEndian, toByteOffset: 12, as: UInt32.self)
    base.storeBytes(of: group.littleEndian, toByteOffset: 16, as: UInt32.self)
    base.storeBytes(of: extraLength.littleEndian, toByteOffset: 20, as: UInt32.self)
    base.storeBytes(of: padding.littleEndian, toByteOffset: 24, as: UInt32.self)
    base.storeBytes(of: bodyLength.littleEndian, toByteOffset: 28, as: UInt32.self)
    base.storeBytes(of: size.littleEndian, toByteOffset: 32, as: UInt64.self)
    base.storeBytes(of: seconds.littleEndian, toByteOffset: 40, as: Int64.self)
  }

  /// Reads a head; nil if it is none.
  init?(from base: UnsafeRawPointer) {
    guard let use = Use(rawValue: base.load(as: UInt8.self)), let kind = EntryKind(rawValue: base.load(fromByteOffset: 1, as: UInt8.self))
    else { return nil }
    self.use = use
    self.kind = kind
    flags = Flags(rawValue: UInt16(littleEndian: base.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
    nameLength = UInt16(littleEndian: base.loadUnaligned(fromByteOffset: 4, as: UInt16.self))
    mode = UInt16(littleEndian: base.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
    nanoseconds = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
    owner = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    group = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
    extraLength = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 20, as: UInt32.self))
    padding = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
    bodyLength = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 28, as: UInt32.self))
    size = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: 32, as: UInt64.self))
    seconds = Int64(littleEndian: base.loadUnaligned(fromByteOffset: 40, as: Int64.self))
  }

  /// A name that can only be an entry of its folder.
  static func isName(_ name: UnsafeRawBufferPointer) -> Bool {
    guard name.count >= 1, name.count <= 255, name[0] != 0x2e || (name.count > 1 && (name[1] != 0x2e || name.count > 2)) else {
      return false
    }
    return !name.contains { $0 == 0x2f || $0 == 0 }
  }

  /// A path that can only lie below the root: names with a slash between each; empty for the root itself.
  static func isPath(_ path: UnsafeRawBufferPointer) -> Bool {
    if path.isEmpty { return true }
    var start = 0
    for end in 0...path.count where end == path.count || path[end] == 0x2f {
      guard isName(UnsafeRawBufferPointer(rebasing: path[start..<end])) else { return false }
      start = end + 1
    }
    return true
  }
}
