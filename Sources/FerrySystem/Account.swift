import CLinux
import Glibc

/// A user of this node, as far as Ferry acts for them.
public struct Account: Sendable, Hashable {
  /// What a user's name looks like, as JSON Schema takes it: where items name one.
  public static let namePattern = "^[A-Za-z_][A-Za-z0-9_.-]*$"

  /// What the user is called.
  public let name: String
  /// The user's id.
  public let user: UInt32
  /// The id of the user's own group.
  public let group: UInt32
  /// The ids of all groups that the user is in.
  public let groups: [UInt32]
  /// The user's own folder.
  public let home: String
  private let shell: String

  /// By name or by number. Throws `not-found`.
  public init(_ name: String) throws {
    var buffer = [CChar](repeating: 0, count: 64 << 10)
    let found = buffer.withUnsafeMutableBufferPointer { buffer -> Account? in
      var entry = passwd()
      var result: UnsafeMutablePointer<passwd>?
      guard let start = buffer.baseAddress else { return nil }
      _ = getpwnam_r(name, &entry, start, buffer.count, &result)
      if result == nil, let number = UInt32(name) { _ = getpwuid_r(number, &entry, start, buffer.count, &result) }
      return result == nil ? nil : Account(entry)
    }
    guard let found else { throw FerryError(.notFound, "there is no user '\(name)' on this node") }
    self = found
  }

  private init(_ entry: passwd) {
    (user, group) = (entry.pw_uid, entry.pw_gid)
    (name, home, shell) = (String(cString: entry.pw_name), String(cString: entry.pw_dir), String(cString: entry.pw_shell))
    var groups = [gid_t](repeating: 0, count: 256)
    var count = Int32(groups.count)
    // More groups than that are cut off, as they are by many a file server.
    _ = getgrouplist(entry.pw_name, entry.pw_gid, &groups, &count)
    self.groups = Array(groups.prefix(Int(max(0, min(count, 256)))))
  }

  /// Whether this process is the user's already.
  public var isOwn: Bool { user == geteuid() }
  /// Where the sockets of the user's systemd and engines are.
  public var runtimeFolder: String { Self.runtimeFolder(of: user) }
  static func runtimeFolder(of user: UInt32) -> String { "/run/user/\(user)" }

  /// What a program of theirs begins with. Of this process's environment another user gets where programs are and which language is spoken.
  var environment: [String: String] {
    let own = ["HOME": home, "USER": name, "LOGNAME": name, "SHELL": shell, "XDG_RUNTIME_DIR": runtimeFolder]
    if isOwn { return own.merging(Environment.all) { $1 } }
    return Environment.all.filter { ["PATH", "LANG", "TZ"].contains($0.key) || $0.key.hasPrefix("LC_") }.merging(own) { $1 }
  }

  /// Throws unless this process may act for the user.
  public func demandAccess() throws {
    guard isOwn || geteuid() == 0 else {
      throw FerryError(
        .precondition, "only root can act for the user '\(name)'", hint: "`become: sudo` makes Ferry root at a node, or log in as \(name)")
    }
  }

  /// Looks at and changes files with the user's rights, so that what is made is theirs and none of their links leads further than they could.
  /// For calls of this thread: programs that are started meanwhile run as before.
  public func perform<Value>(_ work: () throws -> Value) throws -> Value {
    if isOwn { return try work() }
    try demandAccess()
    let before = (user: geteuid(), group: getegid())
    guard clinux_act_as(user, group) == 0 else { throw FerryError(.precondition, "cannot act as the user '\(name)'") }
    defer { _ = clinux_act_as(before.user, before.group) }
    return try work()
  }
}
