import CLinux
import FerrySystem
import Glibc

extension TreeFolder {
  /// Opens a folder below this one at a path of any length, through no link. A number, or -errno.
  func descend(_ path: [UInt8]) -> Int32 {
    var rest = path[...]
    var holder: Descriptor?
    while true {
      // Names have at most 255 bytes, so there is a slash in the last ones of what a system call takes.
      let length = rest.count < 4000 ? rest.count : rest.prefix(4000).lastIndex(of: 0x2f).map { $0 - rest.startIndex } ?? rest.count
      let opened = withCString(Array(rest.prefix(length))) {
        clinux_open_beneath(holder?.number ?? descriptor.number, $0, O_RDONLY | O_DIRECTORY, 0)
      }
      guard opened >= 0, length < rest.count else { return opened }
      holder = Descriptor(opened)
      rest = rest.dropFirst(length + 1)
    }
  }

  /// Opens a folder in this one; what is a link is none. A number, or -errno.
  func openFolder(_ name: [UInt8]) -> Int32 {
    withCString(name) { clinux_openat(descriptor.number, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) }
  }

  /// The names of folders in it, as far as that can be told without looking at each.
  func folderNames() throws -> [[UInt8]] {
    let own = clinux_openat(descriptor.number, ".", O_RDONLY | O_DIRECTORY, 0)
    if [EACCES, EPERM, ENOENT].contains(-own) { return [] }
    guard own >= 0, let stream = fdopendir(own) else { throw failure(own < 0 ? -own : errno, "cannot read", []) }
    defer { closedir(stream) }
    var names: [[UInt8]] = []
    errno = 0
    while let entry = readdir(stream) {
      guard Int(entry.pointee.d_type) == Int(DT_DIR) || Int(entry.pointee.d_type) == Int(DT_UNKNOWN) else { continue }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in Array(bytes.prefix { $0 != 0 }) }
      if name != [0x2e] && name != [0x2e, 0x2e] { names.append(name) }
      errno = 0
    }
    guard errno == 0 else { throw failure(errno, "cannot read", []) }
    return names
  }
}
