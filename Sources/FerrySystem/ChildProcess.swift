import CLinux
import Glibc

/// A child process that leads a process group of its own.
public struct ChildProcess: Sendable {
  /// What it dies with.
  public enum Ties: Sendable {
    /// Nothing: it goes on when its parent ends, in a session of its own.
    case none
    /// The thread that started it: only for a caller that waits.
    case thread
  }

  /// Its process id, which is its process group's as well.
  public let pid: Int32

  /// Starts a program. `descriptors` maps the child's numbers to ours; no other descriptor reaches it. A program of another user, which only
  /// root can start, begins with an environment of that user's and in their home.
  public static func spawn(
    _ arguments: [String], environment: [String: String?] = [:], directory: String? = nil, account: Account? = nil,
    descriptors: [Int32: Int32], ties: Ties = .none
  ) throws -> ChildProcess {
    guard let program = arguments.first, !program.isEmpty else { throw FerryError(.invalid, "a command is empty") }
    if let bad = arguments.first(where: { $0.utf8.contains(0) }) {
      throw FerryError(.invalid, "an argument of \(program) holds a NUL: \(bad.prefix(40))")
    }
    let path = try Programs.find(program, in: environment["PATH"] ?? nil)
    try account?.demandAccess()
    let other = account.flatMap { $0.isOwn ? nil : $0 }
    var variables = account?.environment ?? Environment.all
    for (name, value) in environment { variables[name] = value }
    let map = descriptors.sorted { $0.key < $1.key }.flatMap { [$0.value, $0.key] }
    let flags = ties == .thread ? Int32(CLINUX_GROUP | CLINUX_DIE_WITH_THREAD) : Int32(CLINUX_SESSION)
    let pid = withCStrings(arguments) { argv in
      withCStrings(variables.map { "\($0.key)=\($0.value)" }) { envp in
        guard let other else { return clinux_spawn(path, argv, envp, directory, map, Int32(map.count / 2), flags, nil) }
        return other.groups.withUnsafeBufferPointer { groups in
          var identity = clinux_identity(
            user: other.user, group: other.group, groups: groups.baseAddress, group_count: UInt64(groups.count))
          return clinux_spawn(path, argv, envp, directory ?? other.home, map, Int32(map.count / 2), flags, &identity)
        }
      }
    }
    guard pid > 0 else { throw FerryError(errno: -pid, "cannot start \(program)") }
    return ChildProcess(pid: pid)
  }

  /// Readable once the process has ended.
  public func exitDescriptor() throws -> Descriptor {
    let number = clinux_pidfd_open(pid)
    guard number >= 0 else { throw FerryError(errno: -number, "cannot watch process \(pid)") }
    return Descriptor(number)
  }

  /// Waits for its end and says how: its exit code, or 128 + the signal. Once only.
  @discardableResult public func wait() -> Int32 {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 {
      // Where an embedding process reaps what is not its own, nobody knows how it ended. That is no success.
      guard errno == EINTR else { return Self.unknownEnd }
    }
    let signal = status & 0x7f
    return signal == 0 ? (status >> 8) & 0xff : 128 + signal
  }

  /// What `wait` says of a process whose end somebody else was told.
  static let unknownEnd: Int32 = 125

  /// Sends a signal to its whole process group.
  public func signalGroup(_ signal: Int32) { _ = kill(-pid, signal) }
}

/// Programs by name.
public enum Programs {
  /// The path of a program as execvp would find it. Throws `not-found`.
  public static func find(_ name: String, in path: String? = nil) throws -> String {
    if name.contains("/") { return name }
    let folders = (path ?? Environment.all["PATH"] ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(separator: ":")
    for folder in folders where access("\(folder)/\(name)", X_OK) == 0 { return "\(folder)/\(name)" }
    throw FerryError(.notFound, "there is no program '\(name)' on this node", hint: "install it, or put its folder into PATH")
  }
}

/// The environment of this process.
public enum Environment {
  /// All variables.
  public static var all: [String: String] {
    var variables: [String: String] = [:]
    var entry = environ
    while let text = entry.pointee {
      let pair = String(cString: text)
      if let equals = pair.firstIndex(of: "=") { variables[String(pair[..<equals])] = String(pair[pair.index(after: equals)...]) }
      entry += 1
    }
    return variables
  }

  /// Where the sockets of this user's systemd and engines are. A login by ssh, or a service, may not have been told.
  public static var runtimeFolder: String { all["XDG_RUNTIME_DIR"] ?? Account.runtimeFolder(of: geteuid()) }

  /// Where files go that nobody keeps.
  public static var temporaryFolder: String { all["TMPDIR"] ?? "/tmp" }
}

func withCStrings<Result>(_ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result) -> Result {
  var pointers: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) }
  pointers.append(nil)
  defer { pointers.forEach { free($0) } }
  return pointers.withUnsafeBufferPointer { buffer in
    // An array with at least its NULL has a base address.
    withExtendedLifetime(pointers) { body(buffer.baseAddress.unsafelyUnwrapped) }
  }
}
