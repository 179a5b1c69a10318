import CLinux
import FerrySystem
import Glibc

/// A rootless Podman of an ordinary user, with a storage of its own and ranges of subordinate ids that are the test's own choice. The user
/// and the ranges exist in a mount namespace of its processes alone.
public final class RootlessEngine: EngineUnderTest {
  /// Docker's own rootless mode is not tested.
  public let kind = TestEngine.Kind.podman
  /// What is its own.
  public let folder: TemporaryFolder
  /// Where its API is.
  public var address: String { "unix://\(folder("run/s"))" }
  /// The user's.
  public var scratch: String { folder("run") }
  /// The user's name.
  public var name: String { "mover-\(user)" }
  /// The user's id.
  public let user: UInt32
  /// The first of 65,536 subordinate ids.
  public let first: UInt32
  private let process: ChildProcess
  /// What tells of the user, by the file below /etc.
  private let lines: [String: String]

  /// Why there can be none here, or nil.
  public static let missing: String? = {
    if geteuid() != 0 { return "a rootless engine of another user needs root" }
    let programs = ["podman", "newuidmap", "newgidmap", "setpriv", "unshare"]
    return programs.first { (try? Programs.find($0)) == nil }.map { "there is no \($0) here" }
  }()

  /// Starts one. `storage` is added to its storage.conf.
  public init(user: UInt32, first: UInt32, driver: String = "vfs", storage: String = "") throws {
    (self.user, self.first) = (user, first)
    folder = try TemporaryFolder()
    let name = "mover-\(user)"
    let files = [
      "passwd": "\(name):x:\(user):\(user)::\(folder("home")):/bin/sh\n", "group": "\(name):x:\(user):\n",
      "subuid": "\(name):\(first):65536\n", "subgid": "\(name):\(first):65536\n",
    ]
    lines = files
    for (file, text) in files { try folder.write("etc/\(file)", Self.known(file) + text) }
    for name in ["home", "run"] {
      try Files.makeFolder(folder(name))
      chown(folder(name), user, user)
    }
    try folder.write(
      "containers.conf", "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n")
    try folder.write("storage.conf", "[storage]\ndriver = \"\(driver)\"\n\(storage)\n")
    // The user has to get at his own home in here.
    chmod(folder.path, 0o755)
    let script = """
      set -e
      for name in passwd group subuid subgid; do [ -e /etc/$name ] || touch /etc/$name; mount --bind '\(folder("etc"))'/$name /etc/$name; done
      cd '\(folder("home"))'
      exec setpriv --reuid \(user) --regid \(user) --clear-groups env -i HOME='\(folder("home"))' XDG_RUNTIME_DIR='\(folder("run"))' \
        PATH="$PATH:/usr/sbin:/sbin" CONTAINERS_CONF='\(folder("containers.conf"))' CONTAINERS_STORAGE_CONF='\(folder("storage.conf"))' "$@"
      """
    try folder.write("as-user", "#!/bin/sh\n\(script)\n", mode: 0o755)
    let log = try Descriptor.open(folder("log"), O_WRONLY | O_CREAT | O_APPEND)
    let null = try Descriptor.open("/dev/null", O_RDONLY)
    process = try ChildProcess.spawn(
      [
        "unshare", "--mount", "--propagation", "private", folder("as-user"), "podman", "system", "service", "--time", "0",
        "unix://\(folder("run/s"))",
      ],
      descriptors: [0: null.number, 1: log.number, 2: log.number])
    let folder = folder
    try waitFor("a rootless podman", seconds: 120) {
      try Command(["curl", "--silent", "--fail", "--unix-socket", folder("run/s"), "http://engine/_ping"], timeout: .seconds(30)).run()
        .succeeded
    }
    _ = try Command(["install", "--mode=644", TestEngine.image(), folder("box.tar")]).run()
    try run("import", folder("box.tar"), "box")
    Self.living.withLock { $0.append(Weak(self)) }
  }

  deinit { end() }

  private func end() {
    // `rm --force` would first wait for those that ignore the request to end.
    _ = try? run("kill", "--all")
    _ = try? run("rm", "--all", "--force")
    process.signalGroup(SIGTERM)
    process.wait()
    // Ends what holds the user's namespaces.
    _ = try? run("system", "migrate")
  }

  private struct Weak { weak var engine: RootlessEngine?; init(_ engine: RootlessEngine) { self.engine = engine } }
  /// A global is never released, so what it holds is ended when the process is.
  private static let living: Lock<[Weak]> = {
    atexit { RootlessEngine.living.withLock { $0.compactMap(\.engine) }.forEach { $0.end() } }
    return Lock([])
  }()

  private static func known(_ file: String) throws -> String {
    try file.hasPrefix("sub") ? "" : String(decoding: Files.read("/etc/\(file)"), as: UTF8.self)
  }

  /// From here on the users of these engines exist for what is started from this thread, and their engines answer where engines of users do.
  public static func introduce(_ engines: [RootlessEngine]) throws {
    func must(_ failed: Int32) throws { if failed != 0 { throw FerryError(errno: errno, "cannot mount") } }
    guard let first = engines.first else { return }
    try must(clinux_private_mounts())
    for file in first.lines.keys {
      try first.folder.write("all/\(file)", try known(file) + engines.compactMap { $0.lines[file] }.joined())
      try must(mount(first.folder("all/\(file)"), "/etc/\(file)", nil, UInt(MS_BIND), nil))
    }
    try must(mount("tmpfs", "/run", "tmpfs", 0, nil))
    for engine in engines {
      try Files.makeFolder("/run/user/\(engine.user)/podman")
      try must(symlink(engine.folder("run/s"), "/run/user/\(engine.user)/podman/podman.sock"))
    }
  }

  /// What the user's podman says; throws if it fails.
  @discardableResult public func run(_ arguments: [String]) throws -> String {
    let outcome = try Command(
      ["unshare", "--mount", "--propagation", "private", folder("as-user"), "podman"] + arguments, timeout: .seconds(120)
    ).run()
    guard outcome.succeeded else { throw FerryError(.internal, "rootless \(arguments): \(outcome.reason)") }
    return outcome.output.trimmed
  }
}
