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

/// What plugins said about themselves, so that a run need not ask again: a small file each. A wrong entry does no harm: a host checks the
/// digest of what it loads.
struct PluginCache: Sendable {
  struct Entry: Codable, Sendable {
    var stamp: FileStamp
    var sha256: String
    var module: PluginModule
  }

  private let folder: String?

  init(folder: String?) {
    // The name changes with the release: another one may see more in a plugin.
    self.folder = folder.map { "\($0)/\(ferryVersion)" }
  }

  func entry(for plugin: String, _ stamp: FileStamp) -> Entry? {
    guard let path = path(for: plugin), Files.exists(path), let bytes = try? Files.read(path, limit: 1 << 20) else { return nil }
    return (try? JSONValue.decode(Entry.self, from: bytes)).flatMap { $0.stamp == stamp ? $0 : nil }
  }

  func keep(_ entry: Entry, for plugin: String) {
    guard let folder, let path = path(for: plugin) else { return }
    // Plugins come and go: a cache that has grown beyond what any machine has installed starts anew.
    if Files.names(in: folder).count >= Self.mostEntries { try? Files.remove(folder) }
    try? Files.makeFolder(folder)
    // A cache that cannot be written costs time only.
    if let bytes = try? JSONValue.encode(entry) { try? Files.replace(path, with: bytes) }
  }

  private static let mostEntries = 256

  private func path(for plugin: String) -> String? { folder.map { "\($0)/\(SHA256.hex(Array(plugin.utf8)).prefix(32)).json" } }
}
