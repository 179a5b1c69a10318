import CLinux
import FerrySystem
import Glibc

/// Compares two trees by looking at both, with plain system calls and nothing of FerryTree, and names every difference.
public struct TreeComparison {
  /// What may differ.
  public struct Aspects: OptionSet, Sendable {
    /// The set as bits.
    public let rawValue: Int
    /// A set of bits.
    public init(rawValue: Int) { self.rawValue = rawValue }
    /// Owners and groups.
    public static let owners = Aspects(rawValue: 1)
    /// Modification times of all kinds.
    public static let times = Aspects(rawValue: 2)
    /// Extended attributes outside of the name space `user`.
    public static let systemAttributes = Aspects(rawValue: 4)
    /// POSIX ACLs.
    public static let accessLists = Aspects(rawValue: 8)
    /// How much of a sparse file is allocated.
    public static let holes = Aspects(rawValue: 16)
    /// Which names are one file.
    public static let hardLinks = Aspects(rawValue: 32)
    /// Device files.
    public static let devices = Aspects(rawValue: 64)
    /// Immutable and append-only.
    public static let flags = Aspects(rawValue: 128)
    /// Extended attributes of all kinds.
    public static let attributes = Aspects(rawValue: 256)
    /// Sockets.
    public static let sockets = Aspects(rawValue: 512)
  }

  /// The differences, one line each: the path, what, and both values. Empty if the trees are equal. A name at one end only is one line,
  /// whatever is below it. `owner` and `group` say what an id of the first tree has to be in the second.
  public static func differences(
    _ one: String, _ two: String, ignoring: Aspects = [.flags], limit: Int = 40, owner: @escaping (UInt32) -> UInt32 = { $0 },
    group: @escaping (UInt32) -> UInt32 = { $0 }
  ) throws -> [String] {
    var comparison = TreeComparison(ignoring: ignoring, limit: limit, owner: owner, group: group)
    try comparison.run(BareFolder(one), BareFolder(two))
    return comparison.found
  }

  private struct Pair {
    let one: BareFolder
    let two: BareFolder
    let name: [UInt8]
    let path: [UInt8]
  }
  private struct Identity: Hashable {
    let device: UInt64
    let inode: UInt64
    init(_ status: stat) { (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino)) }
  }

  private let ignoring: Aspects
  private let limit: Int
  private let owner: (UInt32) -> UInt32
  private let group: (UInt32) -> UInt32
  private var found: [String] = []
  private var same: (one: [Identity: Identity], two: [Identity: Identity]) = ([:], [:])

  private init(ignoring: Aspects, limit: Int, owner: @escaping (UInt32) -> UInt32, group: @escaping (UInt32) -> UInt32) {
    self.ignoring = ignoring
    self.limit = limit
    self.owner = owner
    self.group = group
  }

  private mutating func note(_ path: [UInt8], _ what: String) {
    if found.count == limit { found.append("…") }
    if found.count < limit { found.append("\(BareFolder.shown(path)): \(what)") }
  }

  private mutating func run(_ one: BareFolder, _ two: BareFolder) throws {
    try compare(Pair(one: one, two: two, name: [], path: []))
    // Folders that wait to be entered: a stack of our own, as deep as the tree is.
    var waiting = try children(one, two, [])
    while let pair = waiting.popLast(), found.count < limit {
      try compare(pair)
      guard try pair.one.status(pair.name).st_mode & S_IFMT == S_IFDIR, try pair.two.status(pair.name).st_mode & S_IFMT == S_IFDIR else {
        continue
      }
      waiting += try children(try pair.one.enter(pair.name), try pair.two.enter(pair.name), pair.path)
    }
  }

  private mutating func children(_ one: BareFolder, _ two: BareFolder, _ path: [UInt8]) throws -> [Pair] {
    func names(_ folder: BareFolder) throws -> Set<[UInt8]> {
      Set(
        try folder.names().filter { name in
          switch try folder.status(name).st_mode & S_IFMT {
          case S_IFCHR, S_IFBLK: !ignoring.contains(.devices)
          case S_IFSOCK: !ignoring.contains(.sockets)
          default: true
          }
        })
    }
    let (left, right) = (try names(one), try names(two))
    func joined(_ name: [UInt8]) -> [UInt8] { path.isEmpty ? name : path + [0x2f] + name }
    for name in left.subtracting(right).sorted(by: { $0.lexicographicallyPrecedes($1) }) { note(joined(name), "only in the first") }
    for name in right.subtracting(left).sorted(by: { $0.lexicographicallyPrecedes($1) }) { note(joined(name), "only in the second") }
    return left.intersection(right).sorted { $1.lexicographicallyPrecedes($0) }.map { Pair(one: one, two: two, name: $0, path: joined($0)) }
  }

  private mutating func compare(_ pair: Pair) throws {
    let (one, two) = (try pair.one.status(pair.name), try pair.two.status(pair.name))
    func differ<Value: Equatable>(_ what: String, _ left: Value, _ right: Value) {
      if left != right { note(pair.path, "\(what) \(left) ≠ \(right)") }
    }
    guard one.st_mode & S_IFMT == two.st_mode & S_IFMT else {
      return note(pair.path, "kind \(String(one.st_mode & S_IFMT, radix: 8)) ≠ \(String(two.st_mode & S_IFMT, radix: 8))")
    }
    let kind = one.st_mode & S_IFMT
    differ("mode", String(one.st_mode & 0o7777, radix: 8), String(two.st_mode & 0o7777, radix: 8))
    if !ignoring.contains(.owners) {
      differ("owner", owner(one.st_uid), two.st_uid)
      differ("group", group(one.st_gid), two.st_gid)
    }
    if !ignoring.contains(.times) {
      differ("time", "\(one.st_mtim.tv_sec).\(one.st_mtim.tv_nsec)", "\(two.st_mtim.tv_sec).\(two.st_mtim.tv_nsec)")
    }
    try compareAttributes(pair)
    switch kind {
    case S_IFREG:
      if one.st_size != two.st_size { differ("size", one.st_size, two.st_size) } else { try compareContent(pair, Int(one.st_size)) }
    case S_IFLNK: differ("target", BareFolder.shown(try pair.one.target(pair.name)), BareFolder.shown(try pair.two.target(pair.name)))
    case S_IFCHR, S_IFBLK: differ("device", one.st_rdev, two.st_rdev)
    default: break
    }
    // Whiteouts of an overlay are nothing but names: kernels make them names of one device file, or not.
    let isWhiteout = kind == S_IFCHR && one.st_rdev == 0
    if kind != S_IFDIR, !isWhiteout, !ignoring.contains(.hardLinks) { compareIdentity(pair.path, one, two) }
    if kind == S_IFREG || kind == S_IFDIR, !ignoring.contains(.flags) {
      func flags(_ folder: BareFolder) throws -> Int32 {
        let file = try folder.open(pair.name.isEmpty ? [0x2e] : pair.name, O_RDONLY)
        return clinux_get_flags(file.number)
      }
      differ("flags", try flags(pair.one), try flags(pair.two))
    }
  }

  /// What is one file in the first has to be one in the second, and the other way round.
  private mutating func compareIdentity(_ path: [UInt8], _ one: stat, _ two: stat) {
    let (left, right) = (Identity(one), Identity(two))
    if one.st_nlink > 1 || two.st_nlink > 1 {
      if let known = same.one[left], known != right { return note(path, "shares a file with another name in the first only") }
      if let known = same.two[right], known != left { return note(path, "shares a file with another name in the second only") }
      same.one[left] = right
      same.two[right] = left
    }
  }

  private mutating func compareAttributes(_ pair: Pair) throws {
    func attributes(_ folder: BareFolder) throws -> [[UInt8]: [UInt8]] {
      try folder.attributes(pair.name).filter { name, _ in
        let text = String(decoding: name, as: UTF8.self)
        if text.hasPrefix("system.posix_acl_") { return !ignoring.contains(.accessLists) }
        if ignoring.contains(.attributes) { return false }
        return text.hasPrefix("user.") || !ignoring.contains(.systemAttributes)
      }
    }
    let (left, right) = (try attributes(pair.one), try attributes(pair.two))
    for name in Set(left.keys).union(right.keys).sorted(by: { $0.lexicographicallyPrecedes($1) }) where left[name] != right[name] {
      func shown(_ value: [UInt8]?) -> String { value.map { "\($0.count) bytes \($0.prefix(24))" } ?? "none" }
      note(pair.path, "attribute \(BareFolder.shown(name)) \(shown(left[name])) ≠ \(shown(right[name]))")
    }
  }

  private mutating func compareContent(_ pair: Pair, _ size: Int) throws {
    if size == 0 { return }
    let (one, two) = (try pair.one.open(pair.name, O_RDONLY), try pair.two.open(pair.name, O_RDONLY))
    let (left, right) = (Extents(one, size), Extents(two, size))
    // What neither holds need not be read: both read as zeros.
    var offset = 0
    while offset < size {
      let next = min(left.data(from: offset), right.data(from: offset))
      guard next < size else { break }
      let length = min(1 << 20, size - next)
      let (first, second) = (Self.read(one, next, length), Self.read(two, next, length))
      guard first == second else {
        let at = zip(first, second).enumerated().first { $1.0 != $1.1 }?.offset ?? min(first.count, second.count)
        return note(pair.path, "content differs at byte \(next + at)")
      }
      offset = next + length
    }
    // What has its blocks is not sparse, whatever is in them.
    guard !ignoring.contains(.holes), left.bytes < size - 65536, try Int(pair.one.status(pair.name).st_blocks) * 512 < size else { return }
    // File systems round holes to blocks of their own.
    if right.bytes > left.bytes + 65536 * left.count {
      note(pair.path, "\(left.bytes) bytes in \(left.count) extents became \(right.bytes)")
    }
  }

  private static func read(_ file: Descriptor, _ offset: Int, _ length: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
      while count < length {
        let got = pread(file.number, buffer.baseAddress?.advanced(by: count), length - count, offset + count)
        guard got > 0 else { return }
        count += got
      }
    }
  }

  /// Where a file has data rather than holes.
  private struct Extents {
    private var spans: [Range<Int>] = []
    var bytes: Int { spans.reduce(0) { $0 + $1.count } }
    var count: Int { max(1, spans.count) }

    init(_ file: Descriptor, _ size: Int) {
      var offset = 0
      while offset < size {
        let start = Int(clinux_seek_data(file.number, Int64(offset)))
        if start < 0 {
          if start != -Int(ENXIO) { spans.append(offset..<size) }
          break
        }
        let end = max(start + 1, Int(clinux_seek_hole(file.number, Int64(start))))
        spans.append(start..<min(end, size))
        offset = end
      }
    }

    /// The first offset from here on that holds data.
    func data(from offset: Int) -> Int {
      guard let span = spans.first(where: { $0.upperBound > offset }) else { return .max }
      return max(offset, span.lowerBound)
    }
  }
}
