import CLinux
import FerrySystem
import Glibc

/// An open folder. Everything below is reached from here by name, so no path grows long and no link is followed.
public struct TreeFolder: Sendable {
  /// Where it is, from the root of the walk; for messages and for listings.
  public let path: [UInt8]
  package let descriptor: Descriptor

  /// Opens the folder at a path of this system; a link at its very end is followed.
  public init(root: String) throws {
    path = []
    descriptor = try Descriptor.open(root, O_RDONLY | O_DIRECTORY)
  }

  /// Writes everything of its file system to disk.
  public func flush() throws {
    let failed = clinux_syncfs(descriptor.number)
    guard failed >= 0 else { throw failure(-failed, "cannot flush the file system of", []) }
  }

  init(path: [UInt8], descriptor: Descriptor) {
    self.path = path
    self.descriptor = descriptor
  }

  /// Opens a folder in this one; what is a link by now is refused.
  public func folder(_ name: [UInt8]) throws -> TreeFolder {
    TreeFolder(path: TreePath.joined(path, name), descriptor: try open(name, O_RDONLY | O_DIRECTORY))
  }

  /// Opens an entry without following a link.
  public func open(_ name: [UInt8], _ flags: Int32) throws -> Descriptor {
    let number = withCString(name) { clinux_openat(descriptor.number, $0, flags | O_NOFOLLOW, 0) }
    guard number >= 0 else { throw failure(-number, "cannot open", name) }
    return Descriptor(number)
  }

  /// What `lstat` says about a name in it, or about itself for the empty name. nil if there is none.
  public func entry(_ name: [UInt8]) throws -> TreeEntry? {
    var status = stat()
    let failed =
      name.isEmpty
      ? fstat(descriptor.number, &status) : withCString(name) { fstatat(descriptor.number, $0, &status, AT_SYMLINK_NOFOLLOW) }
    guard failed == 0 else {
      if errno == ENOENT || errno == ENOTDIR { return nil }
      throw failure(errno, "cannot look at", name)
    }
    guard let entry = TreeEntry(name: name, status: status) else {
      throw FerryError(.unsupported, "\(shown(name)) is of no kind that Ferry knows")
    }
    return entry
  }

  /// Whether this process may read a file in it.
  func isReadable(_ name: [UInt8]) -> Bool { withCString(name) { faccessat(descriptor.number, $0, R_OK, AT_EACCESS) } == 0 }

  /// The names in it, sorted by bytes.
  public func names() throws -> [[UInt8]] {
    // A descriptor of its own: reading moves the position that duplicates share.
    let own = clinux_openat(descriptor.number, ".", O_RDONLY | O_DIRECTORY, 0)
    guard own >= 0 else { throw failure(-own, "cannot read", []) }
    guard let stream = fdopendir(own) else {
      close(own)
      throw failure(errno, "cannot read", [])
    }
    defer { closedir(stream) }
    var names: [[UInt8]] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw failure(errno, "cannot read", []) }
        break
      }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in Array(bytes.prefix { $0 != 0 }) }
      if name != [0x2e] && name != [0x2e, 0x2e] { names.append(name) }
    }
    names.sort(by: TreePath.precedes)
    return names
  }

  /// Where a link in it points.
  public func target(of name: [UInt8], size: Int64) throws -> [UInt8] {
    var capacity = max(256, Int(clamping: size) + 1)
    while true {
      var length = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
        length = withCString(name) { name in
          buffer.withMemoryRebound(to: CChar.self) { readlinkat(descriptor.number, name, $0.baseAddress.unsafelyUnwrapped, capacity) }
        }
        count = max(0, length)
      }
      guard length >= 0 else { throw failure(errno, "cannot read the link", name) }
      if length < capacity { return bytes }
      capacity *= 2
    }
  }

  /// A path for system calls that take no folder, xattr calls above all: short, whatever the depth.
  func shortPath(_ name: [UInt8]) -> [UInt8] {
    Array("/proc/self/fd/\(descriptor.number)".utf8) + (name.isEmpty ? [] : [0x2f] + name)
  }

  /// A name in it as people should see it.
  public func shown(_ name: [UInt8]) -> String {
    let whole = TreePath.joined(path, name)
    return whole.isEmpty ? "." : TreePath.escaped(whole)
  }

  package func failure(_ code: Int32, _ what: String, _ name: [UInt8]) -> FerryError { FerryError(errno: code, "\(what) \(shown(name))") }
}
