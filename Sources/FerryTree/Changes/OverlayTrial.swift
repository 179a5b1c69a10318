import CLinux
import FerrySystem
import Glibc

/// Whether this kernel tells who watches an overlay's upper folder of what is written to files through the overlay, as Linux does since 6.5. All else
/// that a container changes was always told there. Found by trying.
public enum OverlayTrial {
  /// Tries it with an overlay of its own, in a folder that is gone again when this returns. Throws where there can be none.
  public static func tellsOfWrites(in parent: String) throws -> Bool {
    let folder = try Files.makeOwnFolder("\(parent)/.ferry-overlay", orSay: "cannot write in \(parent)")
    defer { try? TreeRemoval.remove(folder) }
    for name in ["lower", "upper", "work"] { try Files.makeFolder("\(folder)/\(name)") }
    _ = try Descriptor.open("\(folder)/upper/file", O_WRONLY | O_CREAT)
    // A queue is the whole file system's, and may run over.
    for _ in 0..<5 { if let answer = try attempt(folder) { return answer } }
    return false
  }

  private static func attempt(_ folder: String) throws -> Bool? {
    func checked(_ number: Int32) throws -> Descriptor {
      guard number >= 0 else { throw FerryError(errno: -number, "cannot make an overlay in \(folder)") }
      return Descriptor(number)
    }
    let layers = try Descriptor.open(folder, O_RDONLY | O_DIRECTORY)
    let root = try withExtendedLifetime(layers) { try checked(clinux_overlay(layers.number)) }
    // A service holds its files for longer than anybody watches.
    let file = try withExtendedLifetime(root) { try checked(clinux_openat(root.number, "file", O_WRONLY, 0)) }
    let tracker = try ChangeTracker(root: "\(folder)/upper")
    try file.write([1])
    let changes = tracker.drain()
    return changes.isComplete ? changes.entries.contains(Array("file".utf8)) : nil
  }
}
