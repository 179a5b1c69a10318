import FerrySystem

/// `ferry.lock`: a JSON object from a plugin's file name to its SHA-256. Where there is one, nothing else is loaded.
public struct PluginLock: Sendable, Hashable {
  /// The file, for messages.
  public var path: String
  /// SHA-256, hex, by file name.
  public var pins: [String: String]

  /// A lock that is to be written.
  public init(path: String, pins: [String: String]) {
    self.path = path
    self.pins = pins
  }

  /// Reads a lock; nil if there is no such file.
  public static func read(_ path: String) throws -> PluginLock? {
    guard Files.exists(path) else { return nil }
    do {
      return PluginLock(path: path, pins: try JSONValue.decode([String: String].self, from: Files.read(path, limit: 1 << 20)))
    } catch {
      throw FerryError(
        .invalid, "\(path) is no plugin lock: \(FerryError.wrap(error).message)",
        hint: "remove it, or write it anew with 'ferry plugins pin'")
    }
  }

  /// Writes the lock.
  public func write() throws { try Files.replace(path, with: JSONValue.encode(pins, pretty: true) + [10], mode: 0o644) }

  /// Throws unless the file is exactly the pinned one.
  public func check(_ file: PluginFile) throws {
    let fix = "if that is the plugin that you want, run 'ferry plugins pin'; otherwise install the pinned one again"
    guard let pinned = pins[file.name] else {
      throw FerryError(.precondition, "plugin \(file.path) is not pinned in \(path)", hint: fix)
    }
    guard pinned == file.sha256 else {
      throw FerryError(
        .precondition, "plugin \(file.path) is not the pinned one: SHA-256 \(file.sha256), and \(path) says \(pinned)", hint: fix)
    }
  }
}
