import FerrySystem
import Glibc

/// What tells one state of a file from another without reading it. The change time cannot be set by a program.
struct FileStamp: Codable, Hashable, Sendable {
  var device: UInt64
  var inode: UInt64
  var size: Int64
  var modified: [Int]
  var changed: [Int]

  init(_ path: String) throws {
    var status = stat()
    guard stat(path, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(path)") }
    self.init(status)
  }

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int64(status.st_size)
    modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
  }
}

/// What plugins said about themselves, so that a run need not ask again. A wrong entry does no harm: a host checks the digest of what it
/// loads.
final class PluginCache: Sendable {
  struct Entry: Codable, Sendable {
    var stamp: FileStamp
    var sha256: String
    var module: PluginModule
  }

  private let path: String?
  private let entries: Lock<[String: Entry]>

  init(folder: String?) {
    // The name changes with the release: another one may see more in a plugin.
    path = folder.map { "\($0)/plugins-\(ferryVersion).json" }
    let known = path.flatMap { try? JSONValue.decode([String: Entry].self, from: Files.read($0)) }
    entries = Lock(known ?? [:])
  }

  func entry(for plugin: String, _ stamp: FileStamp) -> Entry? {
    entries.withLock { entries in entries[plugin].flatMap { $0.stamp == stamp ? $0 : nil } }
  }

  func keep(_ entry: Entry, for plugin: String) {
    entries.withLock { entries in
      entries[plugin] = entry
      guard let path else { return }
      try? Files.makeFolder(Files.parent(of: path))
      // A cache that cannot be written costs time only.
      try? Files.replace(path, with: JSONValue.encode(entries))
    }
  }
}
