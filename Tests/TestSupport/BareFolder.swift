import CLinux
import FerrySystem
import Glibc

/// An open folder and plain system calls in it: names of any bytes, no path that could grow long. It shares nothing with FerryTree, which
/// it is there to check.
public struct BareFolder: Sendable {
  /// The open folder.
  public let descriptor: Descriptor

  /// Opens the folder at a path.
  public init(_ path: String) throws { descriptor = try Descriptor.open(path, O_RDONLY | O_DIRECTORY) }

  init(_ descriptor: Descriptor) { self.descriptor = descriptor }

  private var number: Int32 { descriptor.number }

  /// Makes a folder in it, if it is not there, and opens it.
  @discardableResult public func folder(_ name: [UInt8], mode: mode_t = 0o755) throws -> BareFolder {
    if (Self.named(name) { mkdirat(number, $0, mode) }) != 0, errno != EEXIST { throw failure("cannot make", name) }
    return try enter(name)
  }

  /// Makes a folder in it, if it is not there, and opens it.
  @discardableResult public func folder(_ name: String, mode: mode_t = 0o755) throws -> BareFolder {
    try folder(Array(name.utf8), mode: mode)
  }

  /// Opens a folder in it.
  public func enter(_ name: [UInt8]) throws -> BareFolder { BareFolder(try open(name, O_RDONLY | O_DIRECTORY)) }

  /// Opens an entry in it; no link is followed.
  public func open(_ name: [UInt8], _ flags: Int32, mode: UInt32 = 0o644) throws -> Descriptor {
    let opened = Self.named(name) { clinux_openat(number, $0, flags | O_NOFOLLOW, mode) }
    guard opened >= 0 else {
      errno = -opened
      throw failure("cannot open", name)
    }
    return Descriptor(opened)
  }

  /// Writes a file in it and returns it, still open.
  @discardableResult public func file(_ name: [UInt8], _ bytes: [UInt8] = [], mode: UInt32 = 0o644) throws -> Descriptor {
    let file = try open(name, O_RDWR | O_CREAT | O_TRUNC, mode: mode)
    try file.write(bytes)
    return file
  }

  /// Writes a file in it and returns it, still open.
  @discardableResult public func file(_ name: String, _ text: String = "", mode: UInt32 = 0o644) throws -> Descriptor {
    try file(Array(name.utf8), Array(text.utf8), mode: mode)
  }

  /// The names in it, sorted by bytes.
  public func names() throws -> [[UInt8]] {
    guard let stream = fdopendir(try open(Array(".".utf8), O_RDONLY | O_DIRECTORY).release()) else { throw failure("cannot read", []) }
    defer { closedir(stream) }
    var names: [[UInt8]] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in Array(bytes.prefix { $0 != 0 }) }
      if name != [0x2e] && name != [0x2e, 0x2e] { names.append(name) }
    }
    return names.sorted { $0.lexicographicallyPrecedes($1) }
  }

  /// What `lstat` says of a name in it, or of itself for the empty name.
  public func status(_ name: [UInt8]) throws -> stat {
    var status = stat()
    let failed = Self.named(name) { fstatat(number, $0, &status, AT_SYMLINK_NOFOLLOW | (name.isEmpty ? 0x1000 /* AT_EMPTY_PATH */ : 0)) }
    guard failed == 0 else { throw failure("cannot look at", name) }
    return status
  }

  /// Where a link in it points.
  public func target(_ name: [UInt8]) throws -> [UInt8] {
    var length = 0
    let target = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
      length = Self.named(name) { name in
        buffer.withMemoryRebound(to: CChar.self) { readlinkat(number, name, $0.baseAddress.unsafelyUnwrapped, 4096) }
      }
      count = max(0, length)
    }
    guard length >= 0 else { throw failure("cannot read the link", name) }
    return target
  }

  /// The extended attributes of an entry, ACLs among them.
  public func attributes(_ name: [UInt8]) throws -> [[UInt8]: [UInt8]] {
    let follow: Int32 = name.isEmpty ? 1 : 0
    return try Self.named(short(name)) { path in
      func fetch(_ call: (UnsafeMutablePointer<CChar>?) -> Int64) -> [UInt8]? {
        var length: Int64 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 1 << 17) { buffer, count in
          length = buffer.withMemoryRebound(to: CChar.self) { call($0.baseAddress) }
          count = max(0, Int(length))
        }
        errno = Int32(-length)
        return length < 0 ? nil : bytes
      }
      guard let list = fetch({ clinux_listxattr(path, $0, 1 << 17, follow) }) else {
        if errno == ENOTSUP { return [:] }
        throw failure("cannot list the attributes of", name)
      }
      var found: [[UInt8]: [UInt8]] = [:]
      for attribute in list.split(separator: 0).map({ Array($0) }) {
        let value = Self.named(attribute) { attribute in fetch { clinux_getxattr(path, attribute, $0, 1 << 17, follow) } }
        guard let value else { throw failure("cannot read an attribute of", name) }
        found[attribute] = value
      }
      return found
    }
  }

  /// Sets an extended attribute; says whether that worked.
  public func setAttribute(_ name: [UInt8], _ attribute: String, _ value: [UInt8]) -> Bool {
    let failed = Self.named(short(name)) { path in
      value.withUnsafeBytes { clinux_setxattr(path, attribute, $0.baseAddress, UInt64($0.count)) }
    }
    errno = failed < 0 ? -failed : 0
    return failed == 0
  }

  /// Removes an extended attribute; says whether that worked.
  public func removeAttribute(_ name: [UInt8], _ attribute: String) -> Bool {
    let failed = Self.named(short(name)) { clinux_removexattr($0, attribute, name.isEmpty ? 1 : 0) }
    errno = failed < 0 ? -failed : 0
    return failed == 0
  }

  /// Sets the modification time (and an access time that nobody compares); says whether that worked.
  @discardableResult public func setTime(_ name: [UInt8], _ seconds: Int, _ nanoseconds: Int = 0) -> Bool {
    let times = [timespec(tv_sec: 1, tv_nsec: 1), timespec(tv_sec: seconds, tv_nsec: nanoseconds)]
    return Self.named(name) { utimensat(number, $0, times, AT_SYMLINK_NOFOLLOW) } == 0
  }

  /// Runs a system call of this folder with a name.
  public func call(_ name: [UInt8], _ body: (_ folder: Int32, _ name: UnsafePointer<CChar>) -> Int32) -> Bool {
    Self.named(name) { body(number, $0) } == 0
  }

  /// Runs a system call of this folder with a name.
  public func call(_ name: String, _ body: (_ folder: Int32, _ name: UnsafePointer<CChar>) -> Int32) -> Bool {
    call(Array(name.utf8), body)
  }

  /// A path for calls that take no folder; short, whatever the depth. The folder itself has to be followed to.
  public func short(_ name: [UInt8]) -> [UInt8] { Array("/proc/self/fd/\(number)".utf8) + (name.isEmpty ? [] : [0x2f] + name) }

  static func named<Result>(_ name: [UInt8], _ body: (UnsafePointer<CChar>) throws -> Result) rethrows -> Result {
    let bytes = name.map { CChar(bitPattern: $0) } + [0]
    return try bytes.withUnsafeBufferPointer { try body($0.baseAddress.unsafelyUnwrapped) }
  }

  private func failure(_ what: String, _ name: [UInt8]) -> FerryError { FerryError(errno: errno, "\(what) \(Self.shown(name))") }

  /// A path of any bytes as one line of text.
  public static func shown(_ path: [UInt8]) -> String {
    if path.isEmpty { return "." }
    let text = path.map { $0 >= 0x20 && $0 < 0x7f ? String(UnicodeScalar($0)) : "\\x" + String($0, radix: 16) }.joined()
    return text.count > 200 ? "\(text.prefix(120))…\(text.suffix(40))" : text
  }
}
