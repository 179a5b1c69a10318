import CLinux
import Glibc

/// Small files, whole.
public enum Files {
  /// All bytes of a file. `limit` bounds what a hostile or broken one can cost.
  public static func read(_ path: String, limit: Int = 64 << 20) throws -> [UInt8] {
    let file = try Descriptor.open(path, O_RDONLY)
    var bytes: [UInt8] = []
    while true {
      let more: [UInt8]
      do { more = try file.read(upTo: 65536) } catch { throw FerryError.wrap(error).inside(path) }
      if more.isEmpty { return bytes }
      bytes += more
      if bytes.count > limit { throw FerryError(.invalid, "\(path) is larger than \(limit) bytes") }
    }
  }

  /// Replaces a file atomically: after a crash there is the old one or the new one, never a part. On disk when it returns.
  public static func replace(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o600) throws {
    let temporary = "\(path).new-\(getpid())-\(nextSerial())"
    let file = try Descriptor.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
    do {
      try file.write(bytes)
      guard fsync(file.number) == 0 else { throw FerryError(errno: errno, "cannot write \(path)") }
      guard rename(temporary, path) == 0 else { throw FerryError(errno: errno, "cannot replace \(path)") }
    } catch {
      unlink(temporary)
      throw FerryError.wrap(error)
    }
    try syncFolder(of: path)
  }

  /// Two threads may replace the same file at once, as two processes may.
  private static let serial = Lock(0)
  private static func nextSerial() -> Int {
    serial.withLock { serial in
      serial += 1
      return serial
    }
  }

  /// Makes a new name in a folder durable.
  public static func syncFolder(of path: String) throws {
    let folder = try Descriptor.open(parent(of: path), O_RDONLY | O_DIRECTORY)
    guard fsync(folder.number) == 0 else { throw FerryError(errno: errno, "cannot sync the folder of \(path)") }
  }

  /// The folder that holds a path.
  public static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Makes a folder that nobody else has or can read; its path is `beginning` and a few letters. `failure` begins the error.
  public static func makeOwnFolder(_ beginning: String, orSay failure: @autoclosure () -> String) throws -> String {
    var template = Array("\(beginning)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw FerryError(errno: errno, failure()) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Makes a folder and what is missing above it, for this user alone unless told.
  public static func makeFolder(_ path: String, mode: UInt32 = 0o700) throws {
    if mkdir(path, mode) == 0 || (errno == EEXIST && isFolder(path)) { return }
    guard errno == ENOENT, path != parent(of: path) else { throw FerryError(errno: errno, "cannot make the folder \(path)") }
    try makeFolder(parent(of: path), mode: mode)
    guard mkdir(path, mode) == 0 || errno == EEXIST else { throw FerryError(errno: errno, "cannot make the folder \(path)") }
  }

  /// Whether a path is a folder (links are followed).
  public static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Whether anything has this name (a dangling link counts).
  public static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// The names in a folder, sorted; empty if there is no folder.
  public static func names(in folder: String) -> [String] {
    guard let stream = opendir(folder) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Removes a file or a whole folder without following links; no error if there is nothing.
  public static func remove(_ path: String) throws {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT == S_IFDIR {
      for name in names(in: path) { try remove("\(path)/\(name)") }
      guard rmdir(path) == 0 || errno == ENOENT else { throw FerryError(errno: errno, "cannot remove \(path)") }
    } else {
      guard unlink(path) == 0 || errno == ENOENT else { throw FerryError(errno: errno, "cannot remove \(path)") }
    }
  }

  /// A path made absolute against a folder, without `.` and `..`; links are not looked at.
  public static func absolute(_ path: String, in folder: String = currentFolder) -> String {
    var parts: [Substring] = []
    for part in (path.hasPrefix("/") ? path : "\(folder)/\(path)").split(separator: "/") {
      if part == ".." { _ = parts.popLast() } else if part != "." { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  /// Bytes that fit into the file system of a folder; nil if nobody can say.
  public static func room(in folder: String) -> Int64? {
    var space = statvfs()
    guard statvfs(folder, &space) == 0 else { return nil }
    return Int64(clamping: UInt64(space.f_bavail) * UInt64(space.f_frsize))
  }

  /// The working folder of this process.
  public static var currentFolder: String {
    guard let text = getcwd(nil, 0) else { return "/" }
    defer { free(text) }
    return String(cString: text)
  }
}

/// An exclusive lock on a file that the kernel lets go of when its holder dies.
public final class FileLock: Sendable {
  private let file: Descriptor

  /// Waits for the lock.
  public init(_ path: String) throws {
    file = try Descriptor.open(path, O_RDWR | O_CREAT)
    while flock(file.number, LOCK_EX) != 0 {
      if errno != EINTR { throw FerryError(errno: errno, "cannot lock \(path)") }
    }
  }

  /// Takes the lock, or nil if somebody has it.
  public init?(ifFree path: String) throws {
    file = try Descriptor.open(path, O_RDWR | O_CREAT)
    // A child of another thread shares the lock for the moment between its fork and its exec, even one that was let go of just now.
    for _ in 0..<50 {
      if flock(file.number, LOCK_EX | LOCK_NB) == 0 { return }
      guard errno == EWOULDBLOCK || errno == EINTR else { throw FerryError(errno: errno, "cannot lock \(path)") }
      usleep(10_000)
    }
    return nil
  }

  /// Lets go early.
  public func unlock() { file.close() }
}
