import FerrySystem
import Glibc

/// A Docker or Podman with a storage of its own, and an image `box` of a static busybox in it. Gone with the last reference or, if a global
/// holds it, with the process.
public final class TestEngine: EngineUnderTest {
  /// The engines that tests are run on.
  public enum Kind: String, Sendable, CaseIterable { case docker, podman }

  /// Which it is.
  public let kind: Kind
  /// What is its own.
  public let folder: TemporaryFolder
  /// Where its API is.
  public let address: String
  /// The same folder.
  public var scratch: String { folder.path }
  /// What its command needs.
  public let environment: [String: String]
  /// Where its API is in the network, for those that are not to see its files; 0: nowhere.
  public let port: UInt16
  /// The same as an address, or nothing.
  public var network: String { port == 0 ? "" : "tcp://127.0.0.1:\(port)" }
  private let driver: String
  private let disk: LoopFileSystem?
  private let processes = Lock<[ChildProcess]>([])

  /// Why there can be no such engine here, or nil.
  public static func missing(_ kind: Kind) -> String? {
    if geteuid() != 0 { return "engines of the test's own need root" }
    let programs = kind == .docker ? ["busybox", "runc", "docker", "dockerd"] : ["busybox", "runc", "podman"]
    return programs.first { (try? Programs.find($0)) == nil && access("/usr/sbin/\($0)", X_OK) != 0 }.map { "there is no \($0) here" }
  }

  /// Whether there can be engines here; says why not. For `.enabled(if:)`.
  public static let available: Bool = {
    let reasons = Kind.allCases.compactMap { missing($0) }
    reasons.forEach { print("skipped: \($0)") }
    return reasons.isEmpty
  }()

  /// A containers.conf for Podman as it works where tests are run; its last table is `[engine]`. Locks in shared memory would be one file for all
  /// storages of a user, and those that a killed test has taken stay taken.
  public static let podmanSettings = """
    [containers]
    default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
    [engine]
    runtime = "runc"
    cgroup_manager = "cgroupfs"
    events_logger = "file"
    lock_type = "file"

    """

  /// Starts one. The driver is the engine's overlay unless told; `storage` is added to Podman's storage.conf; `room` is the size of a memory file
  /// system that its storage is on, `disk` a file system of another make for that.
  public init(
    _ kind: Kind, driver: String? = nil, storage: String = "", room: String? = nil, disk: LoopFileSystem.Kind? = nil,
    isNetworked: Bool = false
  ) throws {
    self.kind = kind
    self.driver = driver ?? (kind == .docker ? "overlay2" : "overlay")
    folder = try TemporaryFolder()
    address = "unix://\(folder("s"))"
    port = isNetworked ? try TestRelay.freePort() : 0
    if kind == .docker {
      environment = ["DOCKER_HOST": address]
    } else {
      environment = ["CONTAINERS_CONF": folder("containers.conf"), "CONTAINERS_STORAGE_CONF": folder("storage.conf")]
      try folder.write(
        "containers.conf", "\(Self.podmanSettings)[network]\nnetwork_config_dir = \"\(folder("net"))\"\n")
      try folder.write(
        "storage.conf",
        "[storage]\ndriver = \"\(self.driver)\"\ngraphroot = \"\(folder("data"))\"\nrunroot = \"\(folder("run"))\"\n\(storage)\n")
    }
    try Files.makeFolder(folder("data"))
    if let room, mount("tmpfs", folder("data"), "tmpfs", 0, "size=\(room)") != 0 { throw FerryError(errno: errno, "cannot mount a tmpfs") }
    self.disk = try disk.map { [folder] in try LoopFileSystem($0, in: folder, on: folder("data")) }
    try start()
    try run("import", try Self.image(), "box")
    Self.living.withLock { $0.append(Weak(self)) }
  }

  deinit { end() }

  private struct Weak { weak var engine: TestEngine?; init(_ engine: TestEngine) { self.engine = engine } }
  /// A global is never released, so what it holds is ended when the process is.
  private static let living: Lock<[Weak]> = {
    atexit { TestEngine.living.withLock { $0.compactMap(\.engine) }.forEach { $0.end() } }
    return Lock([])
  }()

  /// Starts what answers its API.
  public func start() throws {
    let arguments =
      kind == .podman
      ? ["podman", "system", "service", "--time", "0", address]
      : [
        "dockerd", "--data-root", folder("data"), "--exec-root", folder("exec"), "-H", address, "--pidfile", folder("pid"),
        "--iptables=false", "--bridge=none", "--storage-driver=\(driver)",
      ] + (network.isEmpty ? [] : ["-H", network])
    let log = try Descriptor.open(folder("log"), O_WRONLY | O_CREAT | O_APPEND)
    let null = try Descriptor.open("/dev/null", O_RDONLY)
    let path = "\(Environment.all["PATH"] ?? ""):/usr/local/sbin:/usr/sbin:/sbin"
    let process = try ChildProcess.spawn(
      arguments, environment: environment.mapValues { $0 }.merging(["PATH": path]) { $1 },
      descriptors: [0: null.number, 1: log.number, 2: log.number])
    processes.withLock { $0.append(process) }
    if kind == .podman, !network.isEmpty {
      let other = try ChildProcess.spawn(
        ["podman", "system", "service", "--time", "0", network], environment: environment.mapValues { $0 }.merging(["PATH": path]) { $1 },
        descriptors: [0: null.number, 1: log.number, 2: log.number])
      processes.withLock { $0.append(other) }
      try waitFor("\(kind) in the network", seconds: 120) {
        try Command(["curl", "--silent", "--fail", "http\(network.dropFirst(3))/_ping"], timeout: .seconds(30)).run().succeeded
      }
    }
    try waitFor("\(kind)", seconds: 120) {
      try Command(["curl", "--silent", "--fail", "--unix-socket", folder("s"), "http://engine/_ping"], timeout: .seconds(30)).run()
        .succeeded
    }
  }

  /// Ends what answers its API. Docker's containers are stopped, Podman's run on.
  public func stop() {
    for process in processes.withLock({ processes in
      defer { processes = [] }
      return processes
    }) {
      _ = kill(process.pid, SIGTERM)
      process.wait()
    }
  }

  private func end() {
    if processes.withLock({ $0.isEmpty }) { try? start() }
    for id in (try? call("ps", "--all", "--quiet").output.split(separator: "\n").map(String.init)) ?? [] {
      // Podman's `rm --force` would first wait for those that ignore the request to end.
      _ = try? call("kill", id)
      _ = try? call("rm", "--force", id)
    }
    stop()
    // Podman leaves its storage mounted on itself.
    for name in ["data/overlay", "data"] { _ = umount2(folder(name), 2) }
    disk?.unmount()
  }

  /// Its command, with these arguments.
  public func call(_ arguments: String...) throws -> Command.Outcome { try call(arguments) }
  /// Its command, with these arguments.
  public func call(_ arguments: [String]) throws -> Command.Outcome {
    try Command([kind.rawValue] + arguments, environment: environment.mapValues { $0 }, timeout: .seconds(120)).run()
  }
  /// What its command says; throws if it fails.
  @discardableResult public func run(_ arguments: [String]) throws -> String {
    let outcome = try call(arguments)
    guard outcome.succeeded else { throw FerryError(.internal, "\(kind) \(arguments): \(outcome.reason)") }
    return outcome.output.trimmed
  }

  /// A tar file with a busybox, and files below /image for layers to change. The same for all engines: an image is known by its content.
  public static func image() throws -> String { try made.get()("box.tar") }
  private static let made = Result {
    let folder = try TemporaryFolder()
    try Files.makeFolder(folder("root/bin"), mode: 0o755)
    try folder.write(
      "make",
      """
      set -e
      cp "$(command -v busybox)" bin/busybox
      for name in sh ls cat cp touch rm rmdir mkdir mv ln chmod chown sleep test mknod mkfifo; do ln -s busybox bin/$name; done
      mkdir -p etc tmp image/folder/deep image/replaced image/renamed/inside
      for name in kept gone changed mode linked folder/deep/file replaced/old renamed/inside/file; do
        echo "$name of the image" > image/$name
      done
      ln image/linked image/linked-too
      tar -cf ../box.tar .
      """)
    var command = Command(["/bin/sh", folder("make")], timeout: .seconds(60))
    command.directory = folder("root")
    let outcome = try command.run()
    guard outcome.succeeded else { throw FerryError(.internal, "the image: \(outcome.reason)") }
    return folder
  }
}

extension String {
  var trimmed: String {
    String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
  }
}
