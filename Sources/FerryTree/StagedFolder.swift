import CLinux
import FerrySystem
import Glibc

/// A folder that is filled beside its real name and swapped in. The state is received in `.NAME.ferry-RUN/tree`, and `activate` exchanges
/// the two names; what was there before waits in that same place.
///
/// Which of the two folders is which is told by the received one's inode alone, written down before anything is received: whatever step
/// a crash came between, the file system itself says how far things are.
public struct StagedFolder {
  /// Where what was received is written down: an atomic put that outlives the process.
  public struct Memory {
    let get: () throws -> Identity?
    let put: (Identity) throws -> Void

    /// A provider's own durable memory.
    public init(get: @escaping () throws -> Identity?, put: @escaping (Identity) throws -> Void) {
      self.get = get
      self.put = put
    }
  }

  /// Which folder a folder is, whatever its name.
  public struct Identity: Codable, Equatable, Sendable {
    var device: UInt64
    var inode: UInt64

    init?(of path: String) {
      var status = stat()
      guard lstat(path, &status) == 0 else { return nil }
      (device, inode) = (UInt64(status.st_dev), UInt64(status.st_ino))
    }
  }

  /// The real name, absolute.
  public let path: String
  private let run: String
  private let memory: Memory

  /// A folder of that name, to be filled by that run.
  public init(path: String, run: String, memory: Memory) {
    self.path = Files.absolute(path)
    self.run = run
    self.memory = memory
  }

  private var name: String { String(path.split(separator: "/").last ?? "root") }
  /// Mode 0700: nobody looks at what is not active.
  public var holder: String { "\(Files.parent(of: path))/.\(name.utf8.count < 200 ? name : String(name.prefix(40))).ferry-\(run)" }
  private var received: String { "\(holder)/tree" }
  /// Only where the file system cannot exchange two names.
  private var aside: String { "\(holder)/before" }

  private func remember(_ folder: String) throws {
    guard let identity = Identity(of: folder) else { throw FerryError(errno: errno, "cannot look at \(folder)") }
    try memory.put(identity)
  }

  private func identity() throws -> Identity? { try memory.get() }
  private func isReceived(_ path: String) throws -> Bool { try identity().map { Identity(of: path) == $0 } ?? false }

  /// Whether the received folder has the target's name.
  public func isActive() throws -> Bool { try isReceived(path) }

  /// Makes the folder that receives; what was received already stays.
  public func prepare() throws {
    if try isActive() || isReceived(received) { return }
    guard mkdir(holder, 0o700) == 0 || errno == EEXIST else { throw FerryError(errno: errno, "cannot make \(holder)") }
    try TreeRemoval.remove(received)
    guard mkdir(received, 0o700) == 0 else { throw FerryError(errno: errno, "cannot make \(received)") }
    takeLabel()
    try Files.syncFolder(of: received)
    try Files.syncFolder(of: holder)
    try remember(received)
  }

  /// Under SELinux what is made in a folder has the folder's type. So what is received has the target's own, which is this host's policy's
  /// affair and none of the source's; nobody has to relabel it.
  private func takeLabel() {
    guard let folder = try? TreeFolder(root: path), let all = try? ExtendedAttributes.read(folder, []) else { return }
    guard let label = all.first(where: { $0.name == Array("security.selinux".utf8) })?.value else { return }
    _ = label.withUnsafeBytes { clinux_setxattr(received, "security.selinux", $0.baseAddress, UInt64($0.count)) }
  }

  /// Where the state is received.
  public func staged() throws -> String {
    guard try isReceived(received) else {
      throw FerryError(
        .precondition, "\(received), where the state is received, is not there",
        hint: "somebody removed it, or the run is over: roll it back and start anew")
    }
    return received
  }

  /// Takes a folder that was filled elsewhere in `holder` for what was received.
  public func adopt(_ folder: String) throws {
    let staged = try staged()
    try remember(folder)
    try TreeRemoval.remove(staged)
    try rename(folder, received, Self.noReplace)
    try Files.syncFolder(of: received)
  }

  /// The received state, whatever its name is now. Once the run is cleaned up nothing is known of it: then it is what has the target's name.
  public func current(active: Bool) throws -> String {
    guard active else { return try isActive() ? path : try staged() }
    guard try identity() == nil || isActive() else { throw FerryError(.precondition, "\(path) is not what this run received") }
    return path
  }

  /// Exchanges the two names. Entries of the old folder that are kept move along into the new one.
  public func activate(keeping kept: [String] = []) throws {
    try exchange()
    try carry(kept, from: Identity(of: aside) != nil ? aside : received, to: path)
  }

  private func exchange() throws {
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

  /// Exchanges them back, and what is kept as well.
  public func deactivate(keeping kept: [String] = []) throws {
    if try isActive() {
      try carry(kept, from: path, to: Identity(of: aside) != nil ? aside : received)
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
  public func discard(keeping kept: [String] = []) throws {
    try deactivate(keeping: kept)
    try release()
  }

  /// Lets go of what is not active.
  public func release() throws {
    if Identity(of: aside) != nil, Identity(of: path) == nil {
      throw FerryError(.precondition, "\(path) is missing and \(aside) holds what it was", hint: "move it back by hand if it is needed")
    }
    if Identity(of: holder) != nil { try TreeRemoval.remove(holder) }
  }

  /// What keeps the folder from being swapped in; nil if nothing does.
  public func obstacle(mayReplace: Bool) -> FerryError? {
    let parent = Files.parent(of: path)
    guard Files.isFolder(parent), access(parent, W_OK | X_OK) == 0 else {
      return FerryError(
        .precondition, "\(parent), where \(path) is to be, is not there or cannot be written",
        hint: "make the folder, or choose another path")
    }
    var status = stat()
    guard lstat(path, &status) == 0 else { return nil }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      return FerryError(
        .precondition, "the target \(path) exists and is not a folder", hint: "name the folder itself, or remove what is there")
    }
    if Self.isMountPoint(path) {
      return FerryError(.precondition, "the target \(path) is a mount point and cannot be swapped", hint: "name a folder inside it")
    }
    if mayReplace || Files.names(in: path).isEmpty { return nil }
    return FerryError(
      .conflict, "the target \(path) exists and is not empty",
      hint: "say `replace: true` to replace it; it is kept until the run has succeeded")
  }

  /// The same for a file that is filled beside its real name: one that is there may always be replaced.
  public var fileObstacle: FerryError? {
    let parent = Files.parent(of: path)
    guard Files.isFolder(parent), access(parent, W_OK | X_OK) == 0 else {
      return FerryError(
        .precondition, "\(parent), where \(path) is to be, is not there or cannot be written",
        hint: "make the folder, or choose another path")
    }
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG else { return nil }
    return FerryError(.precondition, "\(path) is not a plain file", hint: "name the file itself")
  }

  /// Bytes that fit beside the folder; nil if nobody can say.
  public var room: Int64? { Files.room(in: Files.parent(of: path)) }

  /// Whether a path is where a file system is mounted: such a name cannot be exchanged.
  public static func isMountPoint(_ path: String) -> Bool {
    guard let own = Identity(of: path), let parent = Identity(of: Files.parent(of: path)) else { return false }
    return own.device != parent.device || own == parent
  }

  private static let noReplace: UInt32 = 1
  private static let exchange: UInt32 = 2

  private func rename(_ from: String, _ to: String, _ flags: UInt32) throws {
    let times = [from, to].map(Self.times)
    let failed = clinux_rename(AT_FDCWD, from, AT_FDCWD, to, flags)
    guard failed < 0 else {
      // XFS takes a folder's new parent for a change of its content, and what was received has the source's times.
      for (name, times) in zip([to, from], times) { if let times { utimensat(AT_FDCWD, name, times, AT_SYMLINK_NOFOLLOW) } }
      return
    }
    if failed == -EINVAL, flags == Self.exchange { throw FerryError(.unsupported, "this file system cannot exchange two folders") }
    throw FerryError(errno: -failed, "cannot give \(from) the name \(to)")
  }

  /// All of the folder but what stays with its name.
  public func selection(keeping kept: [String]) -> TreeSelection {
    let staying = staying(kept)
    return TreeSelection { path, _ in path.contains(0x2f) || !staying(String(decoding: path, as: UTF8.self)) }
  }

  /// Whether an entry of the folder stays with its name: one that is kept, or what another item of this run fills beside a file in here.
  private func staying(_ kept: [String]) -> @Sendable (String) -> Bool {
    let ending = ".ferry-\(run)"
    return { kept.contains($0) || ($0.hasPrefix(".") && $0.hasSuffix(ending)) }
  }

  /// May be repeated: what has moved already is not there any more.
  private func carry(_ kept: [String], from old: String, to new: String) throws {
    guard Identity(of: old) != nil, Identity(of: new) != nil else { return }
    let names = Files.names(in: old).filter(staying(kept))
    if names.isEmpty { return }
    // A folder's time is part of what was proven.
    let times = try [old, new].map { folder in
      var status = stat()
      guard stat(folder, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(folder)") }
      return (folder, [status.st_atim, status.st_mtim])
    }
    for name in names { try rename("\(old)/\(name)", "\(new)/\(name)", 0) }
    for (folder, time) in times where utimensat(AT_FDCWD, folder, time, 0) != 0 {
      throw FerryError(errno: errno, "cannot set the times of \(folder)")
    }
    try sync()
  }

  private static func times(_ path: String) -> [timespec]? {
    var status = stat()
    return lstat(path, &status) == 0 ? [status.st_atim, status.st_mtim] : nil
  }

  private func sync() throws {
    try Files.syncFolder(of: path)
    try Files.syncFolder(of: received)
  }
}
