import FerrySystem
import Glibc

/// Whose code may run: a plugin's file and every folder above it belong to root or to this user and are writable by nobody else.
///
/// A folder that everybody may write but where nobody may replace another's names (sticky, root's: /tmp) is accepted above the plugin
/// folder, since what lies in it was found to belong to root or the user. The plugin folder itself must not be one: others could put
/// files into it.
enum PluginTrust {
  /// The resolved path of a trustworthy file, or what to change.
  static func resolve(_ path: String) throws -> String {
    let folder = try realPath(Files.parent(of: path))
    let resolved = try realPath(path)
    try checkFile(resolved)
    try checkFolders(folder)
    try checkFolders(Files.parent(of: resolved))
    return resolved
  }

  private static func checkFile(_ path: String) throws {
    let status = try look(path)
    guard status.st_mode & S_IFMT == S_IFREG else { throw FerryError(.precondition, "plugin \(path) is not a regular file") }
    try checkOwner(path, status)
    if status.st_mode & (S_IWGRP | S_IWOTH) != 0 { throw writable(path) }
  }

  private static func checkFolders(_ folder: String) throws {
    var path = folder
    while true {
      let status = try look(path)
      try checkOwner(path, status)
      if status.st_mode & (S_IWGRP | S_IWOTH) != 0 {
        let shared = path != folder && status.st_mode & S_ISVTX != 0 && status.st_uid == 0
        if !shared { throw writable(path) }
      }
      if path == "/" { return }
      path = Files.parent(of: path)
    }
  }

  private static func checkOwner(_ path: String, _ status: stat) throws {
    guard status.st_uid != 0 && status.st_uid != geteuid() else { return }
    throw FerryError(
      .precondition, "\(path) belongs to user \(status.st_uid): a plugin and the folders above it must belong to root or to you",
      hint: "install the plugin into a folder of your own, or as root")
  }

  private static func writable(_ path: String) -> FerryError {
    FerryError(.precondition, "\(path) is writable by others, so its plugins cannot be trusted", hint: "chmod go-w \(path)")
  }

  private static func look(_ path: String) throws -> stat {
    var status = stat()
    guard stat(path, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(path)") }
    return status
  }

  private static func realPath(_ path: String) throws -> String {
    guard let text = realpath(path, nil) else { throw FerryError(errno: errno, "cannot find \(path)") }
    defer { free(text) }
    return String(cString: text)
  }
}
