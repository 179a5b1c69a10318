import FerrySystem
import Glibc

extension TreeFolder {
  /// A source's folder without links in its path; throws if it is not there or, unless that is allowed, holds nothing.
  public static func resolve(source given: String, allowEmpty: Bool) throws -> String {
    guard let resolved = realpath(given, nil) else { throw FerryError(errno: errno, "cannot read the source \(given)") }
    defer { free(resolved) }
    let path = String(cString: resolved)
    guard Files.isFolder(path) else { throw FerryError(.precondition, "the source \(path) is not a folder") }
    // A file system that is not mounted looks like an empty folder.
    guard allowEmpty || !Files.names(in: path).isEmpty else {
      throw FerryError(.precondition, "the source \(path) is empty", hint: "is it mounted? If it may be empty, say `allow-empty: true`")
    }
    return path
  }
}
