import CLinux
import FerryPluginKit
import FerryTree
import Glibc

/// The destination's folder. The state is received beside it, in `.NAME.ferry-RUN/tree`, and swapped in by `activate`; what was there
/// before waits in that same place.
///
/// Which of the two folders is which is told by the received one's inode alone, written down before anything is received: whatever step
/// a crash came between, the file system itself says how far things are.
struct RsyncTarget {
  let path: String
  let run: String
  let kv: KeyValueStore

  private static let key = "received"

  private struct Identity: Codable, Equatable {
    var device: UInt64
    var inode: UInt64

    init?(of path: String) {
      var status = stat()
      guard lstat(path, &status) == 0 else { return nil }
      (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
    }
  }

  init(path: String, run: String, kv: KeyValueStore) {
    self.path = Files.absolute(path)
    self.run = run
    self.kv = kv
  }

  private var name: String { String(path.split(separator: "/").last ?? "root") }
  /// Mode 0700: nobody looks at what is not active.
  var holder: String { "\(Files.parent(of: path))/.\(name.utf8.count < 200 ? name : String(name.prefix(40))).ferry-\(run)" }
  private var received: String { "\(holder)/tree" }
  /// Only where the file system cannot exchange two names.
  private var aside: String { "\(holder)/before" }

  private func identity() throws -> Identity? { try kv.get(Self.key) }
  private func isReceived(_ path: String) throws -> Bool { try identity().map { Identity(of: path) == $0 } ?? false }

  /// Whether the received folder has the target's name.
  func isActive() throws -> Bool { try isReceived(path) }

  func prepare() throws {
    if try isActive() || isReceived(received) { return }
    guard mkdir(holder, 0o700) == 0 || errno == EEXIST else { throw FerryError(errno: errno, "cannot make \(holder)") }
    try TreeRemoval.remove(received)
    guard mkdir(received, 0o700) == 0 else { throw FerryError(errno: errno, "cannot make \(received)") }
    try Files.syncFolder(of: received)
    try Files.syncFolder(of: holder)
    try kv.put(Self.key, Identity(of: received))
  }

  /// Where the state is received.
  func staged() throws -> String {
    guard try isReceived(received) else {
      throw FerryError(
        .precondition, "\(received), where the state is received, is not there",
        hint: "somebody removed it, or the run is over: roll it back and start anew")
    }
    return received
  }

  /// The received state, whatever its name is now. Once the run is cleaned up nothing is known of it: then it is what has the target's name.
  func current(active: Bool) throws -> String {
    guard active else { return try isActive() ? path : try staged() }
    guard try identity() == nil || isActive() else { throw FerryError(.precondition, "\(path) is not what this run received") }
    return path
  }

  func activate() throws {
    if try isActive() { return }
    let staged = try staged()
    if Identity(of: path) == nil {
      try rename(staged, path, Self.noReplace)
    } else {
      do { try rename(staged, path, Self.exchange) } catch let error as FerryError where error.class == .unsupported {
        try rename(path, aside, Self.noReplace)
        try rename(staged, path, Self.noReplace)
      }
    }
    try sync()
  }

  func deactivate() throws {
    if try isActive() {
      if Identity(of: received) != nil {
        try rename(received, path, Self.exchange)
      } else {
        try rename(path, received, Self.noReplace)
      }
    }
    if Identity(of: aside) != nil, Identity(of: path) == nil { try rename(aside, path, Self.noReplace) }
    if Identity(of: holder) != nil { try sync() }
  }

  /// What was there before is back, and nothing of the run is left.
  func discard() throws {
    try deactivate()
    try release()
  }

  /// Lets go of what is not active.
  func release() throws {
    if Identity(of: aside) != nil, Identity(of: path) == nil {
      throw FerryError(.precondition, "\(path) is missing and \(aside) holds what it was", hint: "move it back by hand if it is needed")
    }
    if Identity(of: holder) != nil { try TreeRemoval.remove(holder) }
  }

  static func isMountPoint(_ path: String) -> Bool {
    guard let own = Identity(of: path), let parent = Identity(of: Files.parent(of: path)) else { return false }
    return own.device != parent.device || own == parent
  }

  private static let noReplace: UInt32 = 1
  private static let exchange: UInt32 = 2

  private func rename(_ from: String, _ to: String, _ flags: UInt32) throws {
    let failed = clinux_rename(AT_FDCWD, from, AT_FDCWD, to, flags)
    guard failed < 0 else { return }
    if failed == -EINVAL, flags == Self.exchange { throw FerryError(.unsupported, "this file system cannot exchange two folders") }
    throw FerryError(errno: -failed, "cannot give \(from) the name \(to)")
  }

  private func sync() throws {
    try Files.syncFolder(of: path)
    try Files.syncFolder(of: received)
  }
}
