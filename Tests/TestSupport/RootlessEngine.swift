import FerrySystem
import Glibc

/// A rootless Podman of an ordinary user, with a storage of its own (vfs) and ranges of subordinate ids that are the test's own choice. The user
/// and the ranges exist in a mount namespace of its processes alone.
public final class RootlessEngine: Sendable {
  /// What is its own.
  public let folder: TemporaryFolder
  /// Where its API is.
  public var address: String { "unix://\(folder("run/s"))" }
  /// The user's id.
  public let user: UInt32
  /// The first of 65,536 subordinate ids.
  public let first: UInt32
  private let process: ChildProcess

  /// Why there can be none here, or nil.
  public static let missing: String? = {
    if geteuid() != 0 { return "a rootless engine of another user needs root" }
    let programs = ["podman", "newuidmap", "newgidmap", "setpriv", "unshare"]
    return programs.first { (try? Programs.find($0)) == nil }.map { "there is no \($0) here" }
  }()

  /// Starts one.
  public init(user: UInt32, first: UInt32) throws {
    (self.user, self.first) = (user, first)
    folder = try TemporaryFolder()
    let files = [
      "passwd": "mover:x:\(user):\(user)::\(folder("home")):/bin/sh\n", "group": "mover:x:\(user):\n", "subuid": "mover:\(first):65536\n",
      "subgid": "mover:\(first):65536\n",
    ]
    for (name, text) in files {
      let known = name.hasPrefix("sub") ? "" : String(decoding: try Files.read("/etc/\(name)"), as: UTF8.self)
      try folder.write("etc/\(name)", known + text)
    }
    for name in ["home", "run"] {
      try Files.makeFolder(folder(name))
      chown(folder(name), user, user)
    }
    try folder.write(
      "containers.conf", "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n")
    try folder.write("storage.conf", "[storage]\ndriver = \"vfs\"\n")
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
  }

  deinit {
    process.signalGroup(SIGTERM)
    process.wait()
    _ = try? run("podman", "system", "migrate")
  }

  /// A command of the user's; what it says. Throws if it fails.
  @discardableResult public func run(_ arguments: String...) throws -> String {
    let outcome = try Command(
      ["unshare", "--mount", "--propagation", "private", folder("as-user")] + arguments, timeout: .seconds(120)
    ).run()
    guard outcome.succeeded else { throw FerryError(.internal, "rootless \(arguments): \(outcome.reason)") }
    return outcome.output.split(separator: "\n").joined(separator: "\n")
  }

  /// Where a volume's content is.
  public func mountpoint(_ volume: String) throws -> String {
    try run("podman", "volume", "inspect", "--format", "{{.Mountpoint}}", volume)
  }
}
