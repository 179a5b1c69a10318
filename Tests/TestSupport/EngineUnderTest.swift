import FerrySystem

/// An engine that tests have to themselves, with an image `box` of a static busybox in it.
public protocol EngineUnderTest: Sendable {
  /// Which it is.
  var kind: TestEngine.Kind { get }
  /// Where its API is.
  var address: String { get }
  /// A folder that it may write in.
  var scratch: String { get }
  /// What its command says; throws if it fails.
  @discardableResult func run(_ arguments: [String]) throws -> String
}

extension EngineUnderTest {
  /// What its command says; throws if it fails.
  @discardableResult public func run(_ arguments: String...) throws -> String { try run(arguments) }

  /// Runs a shell in a new container, which ends when it is asked to. Of its starts the first runs the script.
  public func start(_ name: String, _ options: [String] = [], script: String = "") throws {
    let body = "if [ ! -e /ready ]; then\n\(script)\ntouch /ready\nfi\ntrap 'exit 0' TERM; while :; do sleep 0.1; done"
    try run(["run", "--detach", "--network", "none", "--name", name] + options + ["box", "/bin/sh", "-c", body])
    try waitFor("\(name) to be ready") { (try? run("exec", name, "/bin/sh", "-c", "test -e /ready")) != nil }
  }

  /// Where a volume's content is.
  public func mountpoint(_ volume: String) throws -> String { try run("volume", "inspect", "--format", "{{.Mountpoint}}", volume) }
  /// Where a container's own layer is.
  public func upper(_ container: String) throws -> String {
    try run("container", "inspect", "--format", "{{.GraphDriver.Data.UpperDir}}", container)
  }

  /// What a container's file system is as a whole, as its engine sees it: a line of tar's listing an entry.
  public func contents(_ container: String) throws -> [String] {
    let archive = "\(scratch)/\(container).tar"
    try run("export", "--output", archive, container)
    var command = Command(["tar", "--full-time", "--numeric-owner", "-tvf", archive])
    command.output = .capture(limit: 64 << 20)
    // What the engine mounts over files of its own making is no part of the state.
    let own = [
      "etc/", "dev/", "proc/", "sys/", "run/", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv",
      "run/.containerenv", "dev/", "dev/console", "dev/pts/", "dev/shm/",
    ]
    return try command.run().output.split(separator: "\n").map(String.init).filter { line in
      !own.contains { line.hasSuffix(" \($0)") || line.contains(" \($0) -> ") }
    }.sorted()
  }
}
